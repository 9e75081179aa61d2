"""Where to annotate next: the squares in which a model is least sure, and those least alike."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.config.classes import ClassList
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.inference.collectors.objects import ObjectCollector
from deeplab.inference.likeness import Likeness
from deeplab.inference.next_regions import (
    CELLS,
    LAYER,
    ConfidenceGrid,
    next_layer,
    usual_side,
)
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from deeplab.slides.appearance import Appearance, StainMap, features_of
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
    regions = grid_of(confidence, frame).choose(count, Area.of((), frame))
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
    everywhere = grid.choose(1, Area.of((), FRAME))[0]
    assert everywhere.box.right <= 20
    area = Area.of(right_half, FRAME)
    for region in grid.choose(9, area):
        assert region.box.x + region.box.width / 2 >= 40


def test_nothing_seen_is_nothing_suggested():
    grid = ConfidenceGrid(FRAME, SIDE * FRAME.work_mpp)
    assert grid.choose(3, Area.of((), FRAME)) == []


def test_the_layer_has_ranks_and_level_0_squares():
    confidence = np.full((60, 80), 0.9)
    confidence[32:48, 64:80] = 0.4
    layer = next_layer(grid_of(confidence).choose(2, Area.of((), FRAME)), FRAME)
    assert layer.name == LAYER
    first, second = layer.shapes
    assert first.polygon.equals(shapely.box(128, 64, 160, 96))
    assert first.properties == {
        "rank": 1,
        "confidence": pytest.approx(0.4, abs=1e-4),
        "reason": "the model is unsure: mean confidence 0.40",
    }
    assert second.properties["rank"] == 2
    assert "mean confidence 0.40 to 0.90" in layer.description
    assert not layer.is_tinted


def likeness_over(frame, cells, usual=(0.3, 0.3, 0.3)):
    """A slide whose tissue, density (rows, columns, 3) by work pixel, has 0 where it has none."""
    learnt = LearntAppearance.of([Appearance(features_of(np.array(usual)), None, 1.0)])
    stain = StainMap(cells.astype(np.float32), cells.any(axis=2), frame)
    return Likeness("", learnt, stain)


@given(
    arrays.arrays(np.int8, (11, 13), elements=st.integers(0, 3)),
    arrays.arrays(np.int8, (11, 13), elements=st.integers(1, 8)),
    st.integers(1, 6),
)
def test_the_squares_of_both_kinds_take_turns_and_are_those_of_a_slow_search(
    levels, eighths, count
):
    frame = WorkFrame.over(13, 11, Mpp.square(0.5), 0.5)
    density = levels[..., None] * np.array([0.1, 0.2, 0.15])
    likeness = likeness_over(frame, density)
    confidence = eighths / 8
    grid = ConfidenceGrid(frame, CELLS * frame.work_mpp)
    grid.add(confidence.astype(np.float32), 1, frame.box)
    regions = grid.choose(count, Area.of((), frame), likeness)
    windows = {}
    side = CELLS
    for row in range(11 - side + 1):
        for column in range(13 - side + 1):
            part = np.s_[row : row + side, column : column + side]
            there = levels[part] > 0
            distance = None
            if there.mean() >= 0.5:
                features = features_of(density[part][there].mean(axis=0))
                distance = np.abs(likeness.learnt.distances(features)).max()
            windows[row, column] = (confidence[part].mean(), distance)
    for index, region in enumerate(regions):
        measured = {place: each for place, each in windows.items() if each[1] is not None}
        wants_unlike = region.choice == "unlike"
        assert wants_unlike == bool(index % 2 and measured) or not measured
        best = (
            max(measured.values(), key=lambda each: each[1])
            if wants_unlike
            else min(windows.values(), key=lambda each: each[0])
        )
        mean, distance = windows[region.box.y, region.box.x]
        assert region.confidence == pytest.approx(mean, abs=1e-5)
        compared = (distance, best[1]) if wants_unlike else (mean, best[0])
        assert compared[0] == pytest.approx(compared[1], abs=1e-4)
        windows = {
            (row, column): each
            for (row, column), each in windows.items()
            if abs(row - region.box.y) >= side or abs(column - region.box.x) >= side
        }
    assert len(regions) == count or not windows


def test_of_several_squares_half_are_where_the_stain_is_least_alike_and_say_so():
    frame = WorkFrame.over(160, 120, Mpp.square(0.25), 0.5)
    confidence = np.full((60, 80), 0.9)
    confidence[32:48, 64:80] = 0.4
    density = np.full((60, 80, 3), 0.3)
    density[:20, :20] = 0.1
    likeness = likeness_over(frame, density)
    grid = grid_of(confidence, frame)
    unsure, unlike, *more = grid.choose(4, Area.of((), frame), likeness)
    assert (unsure.choice, unlike.choice) == ("unsure", "unlike")
    assert [each.choice for each in more] == ["unsure", "unlike"]
    assert unlike.box.right <= 20
    assert unlike.box.bottom <= 20
    assert [each.choice for each in grid.choose(1, Area.of((), frame), likeness)] == ["unsure"]
    layer = next_layer([unsure, unlike], frame)
    assert [each.properties["rank"] for each in layer.shapes] == [1, 2]
    reasons = [each.properties["reason"] for each in layer.shapes]
    assert reasons[0] == "the model is unsure: mean confidence 0.40"
    distance = np.log2(3) / (0.25 * np.sqrt(2))  # from one slide, by the least deviation
    assert reasons[1] == (
        "least like the slides of the training: its stain is paler than their mean by "
        f"{distance:.1f} standard deviations"
    )
    assert layer.shapes[1].properties["unlike"] == pytest.approx(distance, abs=0.01)
    assert "and 1 where the stain is least like that of the training" in layer.description


@pytest.mark.parametrize("thumbnail_mpp", [0.5, 1.0, 3.0, 7.0])
def test_a_thumbnail_of_any_scale_shows_where_the_stain_is_unlike(thumbnail_mpp):
    frame = WorkFrame.over(160, 120, Mpp.square(0.25), 0.5)
    seen = WorkFrame.over(160, 120, Mpp.square(0.25), thumbnail_mpp)
    density = np.full((seen.height, seen.width, 3), 0.3)
    row, column = (round(px / thumbnail_mpp * 0.5) for px in (40, 56))
    density[row:, column:] = 0.9
    grid = grid_of(np.full((60, 80), 0.9), frame)
    _, unlike = grid.choose(2, Area.of((), frame), likeness_over(seen, density))
    assert unlike.box.x >= 50
    assert unlike.box.y >= 34


def test_where_there_is_no_tissue_nothing_is_unlike():
    frame = WorkFrame.over(160, 120, Mpp.square(0.25), 0.5)
    likeness = likeness_over(frame, np.zeros((60, 80, 3)))
    regions = grid_of(np.full((60, 80), 0.9), frame).choose(4, Area.of((), frame), likeness)
    assert [each.choice for each in regions] == ["unsure"] * 4
    assert all("unlike" not in shape.properties for shape in next_layer(regions, frame).shapes)


@pytest.mark.parametrize(("work_mpp", "side"), [(0.5, 128), (1, 256), (0.05, 20)])
def test_a_square_has_as_much_as_a_person_outlines_unless_asked_for(work_mpp, side):
    assert usual_side(work_mpp) == side
    asked = {"slide": "s", "model": "m", "output_annotation": "a.anot", "next_regions": 1}
    frame = WorkFrame.over(4000, 4000, Mpp.square(work_mpp), work_mpp)
    rasters = Rasters(SegmentRequest(**asked), ClassList.named(["a"]), frame)
    sure = np.full((250, 250), 0.9, np.float32)
    rasters.add_confidence(sure, 16, WorkBox(0, 0, 4000, 4000))
    (layer,) = rasters.next_layers(Area.of((), frame))
    box = layer.shapes[0].polygon.bounds
    assert (box[2] - box[0]) * work_mpp == pytest.approx(side, rel=0.1)


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
