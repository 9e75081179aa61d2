"""Seconds of stages, which add up, and of work beside them, which need not."""

import json

import pytest

from deeplab.inference.timings import Timings


class Clock:
    """Seconds as they are set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_stages_follow_on_one_another_and_add_up(tmp_path):
    clock = Clock()
    timings = Timings(2.5, clock=clock)
    for stage, until_s in (("open", 101.0), ("predict", 103.0), ("open", 110.0)):
        clock.now_s = until_s
        timings.begin(stage)
    clock.now_s = 110.25
    timings.save(tmp_path / "t.json", {"tiles": 3})
    told = json.loads((tmp_path / "t.json").read_text())
    assert told["stages"] == {"start": 3.5, "open": 2.25, "predict": 7.0}
    assert (told["seconds"], told["tiles"], told["busy"]) == (12.75, 3, {})


def test_busy_seconds_are_of_all_calls_also_of_one_that_fails(tmp_path):
    clock = Clock()
    timings = Timings(clock=clock)

    def read(seconds: float) -> float:
        clock.now_s += seconds
        if seconds > 1:
            raise OSError("gone")
        return -seconds

    timed = timings.busy("read", read)
    assert timed(0.5) == -0.5
    with pytest.raises(OSError, match="gone"):
        timed(seconds=2.0)
    timings.save(tmp_path / "t.json", {})
    assert json.loads((tmp_path / "t.json").read_text())["busy"] == {"read": 2.5}
