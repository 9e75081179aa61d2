"""The harness sees what it is there to see, and damage is a function of its seed."""

import os
import random
import time
from pathlib import Path

import pytest

from deeplab.errors import AnnotationError
from tests.fuzz import harness
from tests.fuzz.harness import Target, damaged, fuzz
from tests.fuzz.mutations import mutate


def write_seed(folder: Path) -> list[Path]:
    (folder / "a.txt").write_bytes(bytes(range(256)) * 4)
    return [folder / "a.txt"]


def refuse(path: Path) -> None:
    raise AnnotationError(path, "is damaged")


def raise_defect(path: Path) -> None:
    raise KeyError(path)


def end_process(path: Path) -> None:
    os.abort()


def grow(path: Path) -> None:
    bytearray(harness.MEMORY_BYTES + 2**28)[:: 2**12] = b"x" * (
        (harness.MEMORY_BYTES + 2**28) >> 12
    )


def target_of(parse) -> Target:
    return Target(name=parse.__name__, seeds=write_seed, parse=parse)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parse", "kind"),
    [
        (Path.read_bytes, "read"),
        (refuse, "refused"),
        (raise_defect, "traceback"),
        (end_process, "abort"),
        (grow, "too much memory"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_end_of_a_case_is_told_apart(parse, kind):
    assert fuzz(target_of(parse), range(2)).counts == {kind: 2}


@pytest.mark.slow
def test_a_parser_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(harness, "START_SECONDS", 3)
    report = fuzz(target_of(wait), range(1))
    assert report.counts == {"too long": 1}
    assert "no end after 3 s" in str(report.failures[0])


def wait(path: Path) -> None:
    time.sleep(60)


@pytest.mark.slow
def test_an_input_that_fails_is_kept_as_it_was(tmp_path):
    target = target_of(raise_defect)
    (failure,) = fuzz(target, range(7, 8), seed=3, keep=tmp_path / "kept").failures
    (tmp_path / "seeds").mkdir()
    (tmp_path / "again").mkdir()
    again = damaged(target, write_seed(tmp_path / "seeds"), 7, 3, tmp_path / "again")
    assert failure.kept.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("seed", range(50))
def test_damage_follows_from_its_seed(seed):
    good = bytes(range(256)) * 8 + b'{"area": 12.5, "name": "tumor"}'
    once = mutate(good, random.Random(seed))
    assert once == mutate(good, random.Random(seed))


def test_damage_differs_from_seed_to_seed():
    good = bytes(range(256)) * 8
    assert len({mutate(good, random.Random(seed)) for seed in range(100)}) > 90
