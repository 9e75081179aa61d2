import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deeplab.annotations.raster.rasterize import draw
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace.outlines import SeamTracer, TracedShape, trace
from deeplab.errors import OutputError
from deeplab.geometry.frames import WorkBox, WorkFrame

SCALES = st.sampled_from([1.0, 0.5, 1.5, 2.0, 2.5, 3.7, 4.03, 7.0])
LABELS = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    elements=st.sampled_from([0, 0, 1, 1, 1, 2, 255]),
)


def redraw(traced: list[TracedShape], box: WorkBox, frame: WorkFrame) -> np.ndarray:
    """The traced shapes drawn again."""
    values = {str(label): label for label in sorted({t.label for t in traced})}
    layers = [
        Layer(name, (0, 0, 0), tuple(Shape(t.polygon) for t in traced if t.label == label))
        for name, label in values.items()
    ]
    return draw(Annotations(tuple(layers)), values, box, frame)


def trace_tiled(labels, cuts_y, cuts_x, frame, x0=0, y0=0, confidence=None, spill=None):
    """Traces `labels`, which lie at (x0, y0), cut into tiles."""
    height, width = labels.shape
    tracer = SeamTracer(frame, WorkBox(x0, y0, width, height), spill)
    rows = [0, *sorted(c for c in set(cuts_y) if 0 < c < height), height]
    columns = [0, *sorted(c for c in set(cuts_x) if 0 < c < width), width]
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            part = np.s_[top:bottom, left:right]
            own = None if confidence is None else confidence[part]
            box = WorkBox(x0 + left, y0 + top, right - left, bottom - top)
            tracer.add(labels[part], own, box)
    return list(tracer.finish())


@settings(max_examples=150)
@given(LABELS, st.lists(st.integers(1, 13)), st.lists(st.integers(1, 13)), SCALES, SCALES)
def test_drawing_what_was_traced_gives_the_labels_again(labels, cuts_y, cuts_x, sx, sy):
    height, width = labels.shape
    frame = WorkFrame(sx, sy, width + 5, height + 3, 1.0)
    traced = trace_tiled(labels, cuts_y, cuts_x, frame, x0=5, y0=3)
    drawn = redraw(traced, WorkBox(5, 3, width, height), frame)
    np.testing.assert_array_equal(drawn, labels)
    assert all(t.polygon.is_valid for t in traced)


@settings(max_examples=100)
@given(LABELS, SCALES, SCALES)
def test_drawing_at_level_0_repeats_each_work_pixel(labels, sx, sy):
    height, width = labels.shape
    traced = trace(labels, WorkFrame(sx, sy, width, height, 1.0))
    level0 = WorkFrame(1.0, 1.0, int(width * sx), int(height * sy), 1.0)
    if level0.box.is_empty:
        return
    drawn = redraw(traced, level0.box, level0)
    row = np.floor((np.arange(level0.height) + 0.5) / sy).astype(int)
    column = np.floor((np.arange(level0.width) + 0.5) / sx).astype(int)
    np.testing.assert_array_equal(drawn, labels[np.ix_(row, column)])


@settings(max_examples=100)
@given(LABELS, st.lists(st.integers(1, 13)), st.lists(st.integers(1, 13)))
def test_tiling_changes_nothing(labels, cuts_y, cuts_x):
    height, width = labels.shape
    frame = WorkFrame(1.0, 1.0, width, height, 1.0)
    whole, tiled = trace(labels), trace_tiled(labels, cuts_y, cuts_x, frame)
    assert [(t.label, t.area_px_work) for t in tiled] == [(t.label, t.area_px_work) for t in whole]
    assert all(a.polygon.equals(b.polygon) for a, b in zip(tiled, whole, strict=True))
    assert sum(t.area_px_work for t in whole) == np.count_nonzero(labels)


@settings(max_examples=60)
@given(LABELS, st.lists(st.integers(1, 13)), st.lists(st.integers(1, 13)), st.randoms())
def test_confidence_is_the_mean_over_the_object(labels, cuts_y, cuts_x, random):
    height, width = labels.shape
    confidence = np.array(
        [[random.random() for _ in range(width)] for _ in range(height)], np.float32
    )
    frame = WorkFrame(1.0, 1.0, width, height, 1.0)
    for shape in trace_tiled(labels, cuts_y, cuts_x, frame, confidence=confidence):
        inside = redraw([shape], frame.box, frame) > 0
        assert shape.confidence == pytest.approx(float(confidence[inside].mean()), rel=1e-5)


def test_coarse_confidence_is_read_at_the_nearest_place():
    labels = np.zeros((8, 8), np.uint8)
    labels[0:4, 4:8] = 1
    confidence = np.array([[0.1, 0.9], [0.2, 0.3]], np.float32)
    tracer = SeamTracer(WorkFrame(1, 1, 8, 8, 1), WorkBox(0, 0, 8, 8))
    tracer.add(labels, confidence, WorkBox(0, 0, 8, 8))
    (shape,) = tracer.finish()
    assert shape.confidence == pytest.approx(0.9)


def test_a_ring_is_one_polygon_with_a_hole():
    labels = np.ones((5, 5), np.uint8)
    labels[2, 2] = 0
    (shape,) = trace(labels)
    assert shape.polygon.equals(shapely.box(0, 0, 5, 5) - shapely.box(2, 2, 3, 3))
    assert shape.area_px_work == 24
    assert shape.confidence is None


def test_pixels_that_touch_at_a_corner_are_two_objects():
    labels = np.eye(2, dtype=np.uint8)
    assert [t.polygon.bounds for t in trace(labels)] == [(0, 0, 1, 1), (1, 1, 2, 2)]


@pytest.mark.parametrize("cuts", [[], [1], [1, 2]])
@pytest.mark.parametrize("turns", range(4))
def test_a_hole_that_touches_the_outside_at_a_corner_leaves_a_valid_polygon(turns, cuts):
    labels = np.rot90(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8), turns)
    frame = WorkFrame(1, 1, 3, 3, 1)
    (shape,) = trace_tiled(np.ascontiguousarray(labels), cuts, cuts, frame)
    assert shape.polygon.is_valid
    assert (len(shape.polygon.interiors), shape.area_px_work) == (1, 7)
    np.testing.assert_array_equal(redraw([shape], frame.box, frame), labels)


def test_straight_edges_have_no_corners_at_seams():
    labels = np.ones((12, 12), np.uint8)
    (shape,) = trace_tiled(labels, [3, 7], [5, 6], WorkFrame(1, 1, 12, 12, 1))
    assert len(shape.polygon.exterior.coords) == 5


def test_arrays_larger_than_a_tile_and_thousands_of_objects_are_traced():
    labels = np.zeros((110, 4500), np.uint8)
    labels[0:100:2, 0:4400:2] = 1
    labels[105:, :] = 2
    traced = trace(labels)
    assert len(traced) == 50 * 2200 + 1
    assert traced[-1].polygon.equals(shapely.box(0, 105, 4500, 110))
    assert [t.polygon.bounds[:2] for t in traced[2199:2201]] == [(4398, 0), (0, 2)]


def test_shapes_can_be_asked_for_twice():
    tracer = SeamTracer(WorkFrame(1, 1, 8, 4, 1), WorkBox(0, 0, 8, 4))
    for x in (0, 4):
        tracer.add(np.ones((4, 4), np.uint8), None, WorkBox(x, 0, 4, 4))
    assert list(tracer.finish()) == list(tracer.finish()) != []


def test_nothing_is_traced_on_background():
    assert trace(np.zeros((4, 4), np.uint8)) == []
    assert trace(np.zeros((0, 4), np.uint8)) == []


def test_tiles_out_of_order_are_refused():
    tracer = SeamTracer(WorkFrame(1, 1, 8, 8, 1), WorkBox(0, 0, 8, 8))
    tile = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match=r"expected a tile at \(0, 0\)"):
        tracer.add(tile, None, WorkBox(4, 0, 4, 4))
    tracer.add(tile, None, WorkBox(0, 0, 4, 4))
    with pytest.raises(ValueError, match="expected a tile"):
        tracer.add(np.zeros((3, 4), np.uint8), None, WorkBox(4, 0, 4, 3))
    with pytest.raises(ValueError, match="missing"):
        list(tracer.finish())
    with pytest.raises(ValueError, match="not those of"):
        tracer.add(tile[:2], None, WorkBox(4, 0, 4, 4))


@settings(max_examples=100)
@given(LABELS, st.lists(st.integers(1, 13)), st.lists(st.integers(1, 13)))
def test_outlines_on_disk_are_those_in_memory(labels, cuts_y, cuts_x):
    frame = WorkFrame(2.0, 2.0, labels.shape[1], labels.shape[0], 1.0)
    with tempfile.TemporaryDirectory() as folder:
        on_disk = trace_tiled(labels, cuts_y, cuts_x, frame, spill=Path(folder))
    in_memory = trace_tiled(labels, cuts_y, cuts_x, frame)
    assert [(each.label, each.polygon.wkt) for each in on_disk] == [
        (each.label, each.polygon.wkt) for each in in_memory
    ]


def test_no_room_for_outlines_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        trace_tiled(
            np.ones((2, 2), np.uint8), [], [], WorkFrame(1, 1, 2, 2, 1), spill=tmp_path / "gone"
        )
