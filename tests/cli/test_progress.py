"""Progress tags are what slicer_cli_web reads, no more often than it needs."""

import io
import re
from xml.etree import ElementTree as ET

import pytest

from deeplab_cli.progress import SlicerTags, shown


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def shares(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"<filter-progress>(.*?)<", text)]


def test_a_stage_starts_goes_on_and_ends_in_well_formed_tags(clock: Clock):
    stream = io.StringIO()
    tags = SlicerTags(stream, clock)
    tags("read & predict <tiles>", 0, 4)
    clock.now_s = 10
    tags("read & predict <tiles>", 1, 4)
    clock.now_s = 40
    tags("read & predict <tiles>", 4, 4)
    tags.close()
    root = ET.fromstring(f"<log>{stream.getvalue()}</log>")
    assert [part.tag for part in root if part.tag in ("filter-start", "filter-end")] == [
        "filter-start",
        "filter-end",
    ]
    assert root.findtext("filter-start/filter-name") == "read & predict <tiles>"
    assert root.findtext("filter-end/filter-time") == "40.0"
    comments = [part.text for part in root.iterfind("filter-comment")]
    assert comments[1] == "read & predict <tiles>: 1 of 4, 30 s left"
    assert shares(stream.getvalue()) == [0, 0.25, 1]


def test_at_most_two_a_second_but_the_end_once(clock: Clock):
    stream = io.StringIO()
    tags = SlicerTags(stream, clock)
    for done in range(101):
        clock.now_s = done * 0.01
        tags("predict", done, 100)
    tags("predict", 100, 100)
    assert shares(stream.getvalue()) == [0, 0.5, 1]


def test_the_next_stage_ends_the_one_before(clock: Clock):
    stream = io.StringIO()
    tags = SlicerTags(stream, clock)
    tags("predict", 1, 2)
    tags("trace", 0, 0)
    text = stream.getvalue()
    assert text.index("<filter-end>") < text.index("<filter-name>trace")
    assert shares(text) == [0.5, 0]


def test_a_stage_cut_short_has_no_end():
    stream = io.StringIO()

    def fail_midway() -> None:
        with shown(stream) as progress:
            progress("predict", 1, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert "<filter-start>" in stream.getvalue()
    assert "<filter-end>" not in stream.getvalue()


def test_long_times_are_told_in_hours_and_minutes(clock: Clock):
    stream = io.StringIO()
    tags = SlicerTags(stream, clock)
    tags("predict", 0, 100)
    clock.now_s = 90
    tags("predict", 1, 100)
    assert "2 h 28 min left" in stream.getvalue()
