"""Maps that are put together on disk: what was drawn stays, and does not count as memory."""

import re
from pathlib import Path

import numpy as np
import pytest

from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.slides import label_tiff
from deeplab.slides.label_tiff import InstanceCanvas

SIDE = 2048
FRAME = WorkFrame(1.0, 1.0, SIDE, SIDE, 0.5)
BAND = 64


def resident_kb() -> int:
    """Memory of this process that is pages of a canvas, KiB."""
    parts = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text())
    canvas = [part for part in parts if re.match(r".*/values( \(deleted\))?$", part.split("\n")[0])]
    return sum(int(re.search(r"(?m)^Rss: +(\d+)", part).group(1)) for part in canvas)


@pytest.fixture
def canvas(monkeypatch):
    monkeypatch.setattr(label_tiff, "HELD_BYTES", 2**20)
    made = InstanceCanvas(FRAME)
    yield made
    made.close()


def test_what_was_drawn_stays_when_its_pages_are_handed_back(canvas):
    most_kb = 0
    for y in range(0, SIDE, BAND):
        canvas.part(WorkBox(0, y, SIDE, BAND))[...] = y + np.arange(SIDE)
        if y % (8 * BAND) == 0:
            most_kb = max(most_kb, resident_kb())
    assert 0 < most_kb < 4 * 1024  # of 16 MiB
    for y in range(0, SIDE, BAND):
        row = canvas.part(WorkBox(0, y + 5, SIDE, 1))
        np.testing.assert_array_equal(row[0], y + np.arange(SIDE))


def test_a_part_that_is_held_meanwhile_can_still_be_drawn_into(canvas):
    part = canvas.part(WorkBox(10, 10, 4, 4))
    for y in range(0, SIDE, BAND):
        canvas.part(WorkBox(0, y, SIDE, BAND))[...] = 0
    part[...] = 7
    assert canvas.part(WorkBox(8, 8, 8, 8)).sum() == 16 * 7
