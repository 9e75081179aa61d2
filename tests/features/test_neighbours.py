"""Distances between objects whose places are known."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from deeplab.annotations.shapes import Shape
from deeplab.errors import ConfigError
from deeplab.features.neighbours import COLUMNS, distance_column, measure_neighbours
from deeplab.features.outline import polygons_um
from deeplab.geometry.frames import Mpp
from tests.features.drawn import disc, ring

CENTROID, EDGE, DENSITY = COLUMNS


def near(radius_um=100.0, **classes):
    polygons = {name: np.array(given, dtype=object) for name, given in classes.items()}
    return measure_neighbours(polygons, radius_um=radius_um)


def test_discs_in_a_row():
    found = near(a=[disc(0, 0, 1), disc(10, 0, 2), disc(13, 4, 1)])["a"]
    assert found[CENTROID] == pytest.approx([10, 5, 5])
    assert found[EDGE] == pytest.approx([7, 2, 2], rel=1e-3)


def test_other_classes_are_measured_edge_to_edge():
    found = near(a=[disc(0, 0, 1), disc(100, 0, 1)], b=[disc(10, 0, 2)], c=[disc(0, 6, 1)])
    assert found["a"][distance_column("b")] == pytest.approx([7, 87])
    assert found["a"][distance_column("c")][0] == pytest.approx(4, rel=1e-3)
    assert found["b"][distance_column("a")] == pytest.approx([7])
    assert set(found["b"]) == {*COLUMNS, "to_a_um", "to_c_um"}


def test_overlapping_nested_and_equal_objects_are_0_um_apart():
    big, inside, equal = disc(0, 0, 10), disc(0, 0, 1), disc(0, 0, 10)
    assert near(a=[big, inside, equal])["a"][EDGE].tolist() == [0, 0, 0]
    assert near(a=[big, equal])["a"][CENTROID].tolist() == [0, 0]
    assert near(a=[big], b=[inside])["b"]["to_a_um"].tolist() == [0]


def test_what_lies_in_a_hole_is_as_far_as_the_edge_of_the_hole():
    found = near(tubule=[ring(10, 6)], lumen=[disc(radius=1)])
    assert found["lumen"]["to_tubule_um"] == pytest.approx([5], rel=1e-3)


def test_an_object_alone_has_no_neighbour():
    found = near(a=[disc()], b=[])
    assert math.isnan(found["a"][CENTROID][0])
    assert math.isnan(found["a"][EDGE][0])
    assert math.isnan(found["a"]["to_b_um"][0])
    assert found["a"][DENSITY].tolist() == [0]
    assert found["b"][EDGE].size == 0


def test_the_density_counts_others_within_the_radius():
    places = [(0, 0), (30, 0), (0, 49), (51, 0), (900, 900)]
    found = near(radius_um=50, a=[disc(x, y) for x, y in places])["a"]
    circle_mm2 = math.pi * 0.05**2
    assert (found[DENSITY] * circle_mm2).tolist() == pytest.approx([2, 2, 1, 1, 0])


def test_distances_are_um_in_pixels_that_are_not_square():
    shapes = [Shape(shapely.box(x, y, x + 1, y + 1)) for x, y in [(0, 0), (4, 0), (0, 5)]]
    polygons = polygons_um(shapes, Mpp(0.5, 0.25))
    found = measure_neighbours({"a": polygons}, radius_um=1)["a"]
    assert found[EDGE] == pytest.approx([1, 1.5, 1])
    assert found[CENTROID] == pytest.approx([1.25, 2, 1.25])


def test_shapes_that_are_none_have_no_neighbour_and_are_none():
    found = near(a=[shapely.Polygon(), disc(), disc(5, 0)], b=[shapely.Polygon()])
    assert found["a"][CENTROID].tolist() == pytest.approx([math.nan, 5, 5], nan_ok=True)
    assert np.isnan(found["a"]["to_b_um"]).all()
    assert np.isnan(found["b"]["to_a_um"]).all()


COORDINATES = st.tuples(st.integers(-4, 4), st.integers(-4, 4))
TRIANGLES = st.lists(st.lists(COORDINATES, min_size=3, max_size=5), min_size=1, max_size=6)


@given(TRIANGLES, TRIANGLES)
def test_the_nearest_is_the_least_of_all_distances_however_broken_the_outlines(first, second):
    a, b = ([shapely.Polygon(points) for points in each] for each in (first, second))
    found = near(a=a, b=b)["a"]
    valid = {name: shapely.make_valid(np.array(each)) for name, each in (("a", a), ("b", b))}
    others = shapely.distance(valid["a"][:, None], valid["b"])
    assert found["to_b_um"] == pytest.approx(others.min(axis=1))
    same = shapely.distance(valid["a"][:, None], valid["a"])
    np.fill_diagonal(same, np.inf)
    expected = same.min(axis=1)
    assert found[EDGE] == pytest.approx(
        np.where(np.isfinite(expected), expected, np.nan), nan_ok=True
    )


@pytest.mark.parametrize("radius_um", [0, -1, math.nan, math.inf])
def test_a_radius_that_is_none_is_refused(radius_um):
    with pytest.raises(ConfigError, match="radius_um must be a number above 0"):
        near(radius_um=radius_um, a=[disc()])
