from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.annotations.raster.rasterize import ShapeIndex, draw, fill_polygon
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.classes import IGNORE
from deeplab.geometry.frames import WorkBox, WorkFrame

NUMBER = st.floats(-30, 60, allow_nan=False)
RING = st.lists(st.tuples(NUMBER, NUMBER), min_size=3, max_size=9)
SCALE = st.floats(0.3, 5)


def inside(polygon: shapely.Polygon, x: float, y: float) -> bool:
    """Even-odd by a ray to the right, one edge at a time: the rule, written plainly."""
    odd = False
    for ring in (polygon.exterior, *polygon.interiors):
        points = ring.coords
        for (xa, ya), (xb, yb) in pairwise(points):
            if (ya <= y) != (yb <= y):
                odd ^= xa + (y - ya) * (xb - xa) / (yb - ya) <= x
    return odd


@settings(max_examples=60)
@given(RING, SCALE, SCALE)
def test_a_pixel_is_inside_when_its_centre_is(ring, sx, sy):
    polygon = shapely.Polygon(ring)
    out = np.zeros((12, 15), np.uint8)
    fill_polygon(out, polygon, 7, x_origin=-2, y_origin=3, scale_x=sx, scale_y=sy)
    for row in range(12):
        for col in range(15):
            x, y = (col - 2 + 0.5) * sx, (row + 3 + 0.5) * sy
            # Rounding may decide within a millionth of a pixel of the outline.
            if polygon.boundary.distance(shapely.Point(x, y)) > 1e-6:
                assert (out[row, col] == 7) == inside(polygon, x, y)


@settings(max_examples=60)
@given(st.lists(RING, min_size=1, max_size=5), SCALE, SCALE, st.integers(1, 9), st.integers(1, 9))
def test_a_box_never_changes_which_pixels_are_inside(rings, sx, sy, high, wide):
    layers = (
        Layer("a", (0, 0, 0), tuple(Shape(shapely.Polygon(r)) for r in rings[::2])),
        Layer("b", (0, 0, 0), tuple(Shape(shapely.Polygon(r)) for r in rings[1::2])),
    )
    frame = WorkFrame(sx, sy, 20, 20, 1.0)
    index = ShapeIndex(Annotations(layers), {"a": 1, "b": 2})
    whole = index.draw(WorkBox(-3, -2, 20, 20), frame)
    tiled = np.full_like(whole, 99)
    for y in range(-2, 18, high):
        for x in range(-3, 17, wide):
            box = WorkBox(x, y, wide, high).intersection(WorkBox(-3, -2, 20, 20))
            tiled[box.within(WorkBox(-3, -2, 20, 20))] = index.draw(box, frame)
    np.testing.assert_array_equal(tiled, whole)


def test_edges_are_half_open_so_neighbours_share_no_pixel():
    left, right = shapely.box(0.5, 0.5, 2.5, 3.5), shapely.box(2.5, 0.5, 4.5, 3.5)
    out = np.zeros((5, 6), np.uint8)
    fill_polygon(out, left, 1)
    fill_polygon(out, right, 2)
    np.testing.assert_array_equal(out[0], [1, 1, 2, 2, 0, 0])
    np.testing.assert_array_equal(out[3], [0, 0, 0, 0, 0, 0])


def test_holes_stay_empty_and_overlaps_of_a_layer_do_not_cancel():
    ring = shapely.box(0, 0, 6, 6) - shapely.box(2, 2, 4, 4)
    shapes = (Shape(ring), Shape(shapely.box(3, 3, 8, 8)))
    frame = WorkFrame(1, 1, 8, 8, 1)
    labels = draw(Annotations((Layer("a", (0, 0, 0), shapes),)), {"a": 5}, frame.box, frame)
    assert labels[2, 2] == 0
    assert labels[3, 3] == labels[5, 5] == labels[0, 0] == 5
    assert np.count_nonzero(labels) == 36 - 4 + 25 - 9 + 1


def test_layers_lie_over_each_other_in_the_order_asked_for():
    square = (Shape(shapely.box(0, 0, 2, 2)),)
    layers = (Layer("ignore", (0, 0, 0), square), Layer("a", (0, 0, 0), square))
    frame = WorkFrame(1, 1, 2, 2, 1)
    annotations = Annotations((*layers, Layer("other", (0, 0, 0), square)))
    labels = draw(annotations, {"a": 1, "ignore": 255, "absent": 9}, frame.box, frame)
    assert (labels == 255).all()


@pytest.mark.parametrize("box", [WorkBox(0, 0, 0, 4), WorkBox(900, 900, 3, 3)])
def test_a_box_without_shapes_is_background(box):
    shapes = (Shape(shapely.box(0, 0, 2, 2)),)
    frame = WorkFrame(1, 1, 2, 2, 1)
    labels = draw(Annotations((Layer("a", (0, 0, 0), shapes),)), {"a": 1}, box, frame)
    assert labels.shape == (box.height, box.width)
    assert not labels.any()


def test_a_large_box_is_drawn_in_bands_without_seams():
    frame = WorkFrame(1, 1, 3000, 3000, 1)
    disc = shapely.Point(1500, 1500).buffer(1400)
    annotations = Annotations((Layer("a", (0, 0, 0), (Shape(disc),)),))
    labels = draw(annotations, {"a": 1}, frame.box, frame)
    assert int(labels.sum()) == pytest.approx(disc.area, rel=1e-4)
    assert (labels == labels[::-1]).mean() > 0.9999


def layers_of(**rings):
    """Annotations of polygons by layer name."""
    layers = (
        Layer(name, (0, 0, 0), tuple(Shape(shapely.Polygon(ring)) for ring in some))
        for name, some in rings.items()
    )
    return Annotations(tuple(layers))


@settings(max_examples=60)
@given(st.lists(RING, min_size=1, max_size=6), SCALE, SCALE, st.integers(1, 9), st.integers(1, 9))
def test_objects_are_numbered_as_a_painter_would_and_alike_in_every_box(rings, sx, sy, high, wide):
    values = {"a": 1, "b": 2, "ignored": IGNORE}
    annotations = layers_of(b=rings[1::3], a=rings[::3], ignored=rings[2::3])
    frame = WorkFrame(sx, sy, 20, 20, 1.0)
    whole = WorkBox(-3, -2, 20, 20)
    painted, number = np.zeros((20, 20), np.int32), 0
    for name, value in values.items():
        for shape in annotations.layer(name).shapes:
            number += value != IGNORE
            mask = np.zeros((20, 20), np.uint8)
            fill_polygon(mask, shape.polygon, 1, x_origin=-3, y_origin=-2, scale_x=sx, scale_y=sy)
            painted[mask == 1] = number if value != IGNORE else 0
    index = ShapeIndex(annotations, values)
    found = index.draw_instances(whole, frame)
    np.testing.assert_array_equal(found, painted)
    assert found.dtype == np.int32
    labels = index.draw(whole, frame)
    np.testing.assert_array_equal(found > 0, (labels > 0) & (labels != IGNORE))
    for y in range(-2, 18, high):
        for x in range(-3, 17, wide):
            box = WorkBox(x, y, wide, high).intersection(whole)
            np.testing.assert_array_equal(
                index.draw_instances(box, frame), painted[box.within(whole)]
            )


def test_objects_that_touch_stay_apart_and_holes_belong_to_none():
    ring = shapely.box(0, 0, 4, 4) - shapely.box(1, 1, 3, 3)
    shapes = (Shape(ring), Shape(shapely.box(4, 0, 6, 4)), Shape(shapely.box(1, 1, 2, 2)))
    annotations = Annotations((Layer("a", (0, 0, 0), shapes),))
    frame = WorkFrame(1, 1, 6, 4, 1)
    found = ShapeIndex(annotations, {"a": 1}).draw_instances(frame.box, frame)
    np.testing.assert_array_equal(
        found, [[1, 1, 1, 1, 2, 2], [1, 3, 0, 1, 2, 2], [1, 0, 0, 1, 2, 2], [1, 1, 1, 1, 2, 2]]
    )


def test_finished_regions_are_no_objects():
    square = [(0, 0), (4, 0), (4, 4), (0, 4)]
    annotations = layers_of(done=[square], nucleus=[[(1, 1), (2, 1), (2, 2), (1, 2)]])
    frame = WorkFrame(1, 1, 4, 4, 1)
    found = ShapeIndex(annotations, {"done": 0, "nucleus": 1}).draw_instances(frame.box, frame)
    assert found.sum() == found[1, 1] == 1
