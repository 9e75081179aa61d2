"""Where to annotate next: the squares in which a model is least sure."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deeplab.config.classes import ClassList
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.inference.collectors.objects import ObjectCollector
from deeplab.inference.next_regions import CELLS, LAYER, ConfidenceGrid, next_layer
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from tests.inference.planes import answer_of, plane_of, slots_over

SIDE = 16  # work pixels of a square: two a cell
FRAME = WorkFrame.over(160, 120, Mpp.square(0.25), 0.5)  # 80 x 60 work pixels


def grid_of(confidence, frame=FRAME, *, pieces=3):
    """A grid that has got a map (h, w), NaN where nothing was seen, in pieces of rows."""
    grid = ConfidenceGrid(frame, SIDE * frame.work_mpp)
    for rows in np.array_split(np.arange(confidence.shape[0]), pieces):
        for column in range(confidence.shape[1]):
            part = confidence[rows, column : column + 1]
            for row, value in zip(rows, part[:, 0], strict=True):
                if np.isfinite(value):
                    box = WorkBox(column, int(row), 1, 1)
                    grid.add(np.full((1, 1), value, np.float32), 1, box)
    return grid


@st.composite
def maps(draw):
    """Confidence in eighths on cells of two pixels, a cell in four not seen."""
    rows, columns = draw(st.integers(3, 14)), draw(st.integers(3, 18))
    eighths = draw(arrays.arrays(np.int8, (rows, columns), elements=st.integers(-2, 8)))
    cells = np.where(eighths < 0, np.nan, eighths / 8)
    return cells, WorkFrame.over(4 * columns, 4 * rows, Mpp.square(0.25), 0.5)


@given(maps(), st.integers(1, 5))
def test_the_squares_are_those_that_a_slow_search_finds(found, count):
    cells, frame = found
    confidence = cells.repeat(2, axis=0).repeat(2, axis=1)
    regions = grid_of(confidence, frame).least_sure(count, Area.of((), frame))
    height, width = (min(CELLS, side) for side in cells.shape)
    windows = {}
    for row in range(cells.shape[0] - height + 1):
        for column in range(cells.shape[1] - width + 1):
            window = cells[row : row + height, column : column + width]
            if np.isfinite(window).mean() >= 0.5:
                windows[row, column] = np.nanmean(window)
    for region in regions:
        row, column = min(windows, key=lambda place: (windows[place], place))
        assert region.confidence == pytest.approx(windows[row, column], abs=1e-6)
        assert region.box == WorkBox(2 * column, 2 * row, 2 * width, 2 * height)
        windows = {
            (r, c): mean
            for (r, c), mean in windows.items()
            if abs(r - row) >= height or abs(c - column) >= width
        }
    assert len(regions) == count or not windows


def test_only_what_lies_in_the_area_is_suggested():
    confidence = np.full((60, 80), 0.9)
    confidence[:20, :20] = 0.3
    right_half = (((80, 0), (160, 0), (160, 120), (80, 120)),)
    grid = grid_of(confidence)
    everywhere = grid.least_sure(1, Area.of((), FRAME))[0]
    assert everywhere.box.right <= 20
    area = Area.of(right_half, FRAME)
    for region in grid.least_sure(9, area):
        assert region.box.x + region.box.width / 2 >= 40


def test_nothing_seen_is_nothing_suggested():
    grid = ConfidenceGrid(FRAME, SIDE * FRAME.work_mpp)
    assert grid.least_sure(3, Area.of((), FRAME)) == []


def test_the_layer_has_ranks_and_level_0_squares():
    confidence = np.full((60, 80), 0.9)
    confidence[32:48, 64:80] = 0.4
    layer = next_layer(grid_of(confidence).least_sure(2, Area.of((), FRAME)), FRAME)
    assert layer.name == LAYER
    first, second = layer.shapes
    assert first.polygon.equals(shapely.box(128, 64, 160, 96))
    assert first.properties == {"rank": 1, "confidence": pytest.approx(0.4, abs=1e-4)}
    assert second.properties["rank"] == 2
    assert "mean confidence 0.40 to 0.90" in layer.description


def test_of_objects_those_count_that_are_unsure():
    plane = plane_of(3, 200, 160, 60)
    request = SegmentRequest(
        slide="s", model="m", output_annotation="a.anot", next_regions=1, next_region_um=40
    )
    rasters = Rasters(request, ClassList.named(["first", "second"]), plane.frame)
    collector = ObjectCollector(plane.area(), rasters, 2)
    for slot in slots_over(plane.box, step=64):
        answer = answer_of(plane, slot)
        # Nuclei of the right half are hardly seen as such.
        unsure = 0.2 if slot.write.x >= 128 else 0.95
        answer.confidence[:] = unsure
        collector.add(slot, answer)
    collector.close()
    (layer,) = rasters.next_layers(plane.area())
    (square,) = layer.shapes
    x, _ = square.polygon.centroid.coords[0]
    assert x / plane.frame.scale_x > 120
