"""Quick tests always run and come first; slow ones wait for their turn until there is no time."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.deadline import DEADLINE, SEED, order_tests, skip_after_deadline


def items():
    """Of ten files, a slow test between two quick ones each."""
    return [
        SimpleNamespace(
            path=Path(f"{file}.py"),
            name=f"{file}{place}",
            get_closest_marker=lambda name, slow=place == 1: name == "slow" and slow,
        )
        for file in range(10)
        for place in range(3)
    ]


def ordered():
    kept = items()
    order_tests(kept)
    return [item.name for item in kept]


def test_without_a_deadline_everything_runs_as_it_stands(monkeypatch):
    monkeypatch.delenv(DEADLINE, raising=False)
    assert ordered() == [item.name for item in items()]
    for item in items():
        skip_after_deadline(item)


def test_with_one_slow_files_follow_in_the_order_of_the_commit(monkeypatch):
    monkeypatch.setenv(DEADLINE, "0")
    orders = set()
    for commit in ("a1", "b2", "c3"):
        monkeypatch.setenv(SEED, commit)
        names = ordered()
        assert names == ordered()
        assert names[:20] == [item.name for item in items() if not item.name.endswith("1")]
        assert sorted(names) == sorted(item.name for item in items())
        orders.add(tuple(names))
    assert len(orders) == 3


@pytest.mark.parametrize(("seconds_left", "is_left_out"), [(60, False), (-1, True)])
def test_only_slow_tests_are_left_out_when_time_is_up(monkeypatch, seconds_left, is_left_out):
    monkeypatch.setenv(DEADLINE, str(time.time() + seconds_left))
    quick, slow, _ = items()[:3]
    skip_after_deadline(quick)
    if is_left_out:
        with pytest.raises(pytest.skip.Exception, match="no time was left"):
            skip_after_deadline(slow)
    else:
        skip_after_deadline(slow)
