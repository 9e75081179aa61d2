"""A few kills of each task; `python -m tests.kills` does hundreds."""

import pytest

from tests.kills.harness import Killing

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("tasks", "count"),
    [(["convert", "features", "evaluate"], 10), (["segment"], 3), (["train"], 2)],
)
def test_a_task_that_is_killed_leaves_nothing(tmp_path, tasks, count):
    tally = Killing(tmp_path, 5, tasks).kill(count)
    assert not tally.faults, "\n".join(tally.lines())
    assert tally.kills == count
