"""Numbers of outlines against closed forms, however they lie and whatever the pixels are."""

import math

import numpy as np
import pytest
import shapely
from histomicstk.features import compute_morphometry_features
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shapely import affinity
from skimage.draw import polygon2mask

from deeplab.annotations.calipers import span
from deeplab.annotations.shapes import Shape
from deeplab.features.bending import BATCH
from deeplab.features.outline import COLUMNS, measure_outlines, polygons_um
from deeplab.geometry.frames import Mpp
from tests.features.drawn import ONE, blob, disc, ellipse, of, ring

POSITION = {name for name in COLUMNS if name.startswith("centroid")}
# How a column grows when an object becomes twice as large.
POWERS = {
    "area_um2": 2,
    "hole_area_um2": 2,
    **dict.fromkeys(
        (
            "perimeter_um",
            "perimeter_with_holes_um",
            "major_axis_um",
            "minor_axis_um",
            "equivalent_diameter_um",
            "max_feret_um",
            "min_feret_um",
        ),
        1,
    ),
    **dict.fromkeys(("mean_abs_curvature_per_um", "bending_energy_per_um"), -1),
}
DEGREES = st.floats(-180, 180)
SEEDS = st.integers(0, 2**32 - 1)
# The start of an outline moves its points, so bends agree to some per cent only.
BENDS = {"mean_abs_curvature_per_um", "bending_energy_per_um"}


def close(value: float, rel: float = 1e-4, absolute: float = 1e-9) -> object:
    return pytest.approx(value, rel=rel, abs=absolute, nan_ok=True)


@pytest.mark.parametrize("radius", [0.2, 5, 3000])
def test_a_disc(radius):
    found = of(disc(40, 7, radius))
    assert found == {
        "centroid_x_level0": close(40),
        "centroid_y_level0": close(7),
        "centroid_x_um": close(40),
        "centroid_y_um": close(7),
        "area_um2": close(math.pi * radius**2),
        "perimeter_um": close(2 * math.pi * radius),
        "perimeter_with_holes_um": close(2 * math.pi * radius),
        "hole_count": 0,
        "hole_area_um2": 0,
        "major_axis_um": close(2 * radius),
        "minor_axis_um": close(2 * radius),
        "aspect_ratio": close(1),
        "eccentricity": close(0, absolute=1e-3),
        "orientation_deg": close(math.nan),
        "equivalent_diameter_um": close(2 * radius),
        "max_feret_um": close(2 * radius),
        "min_feret_um": close(2 * radius),
        "extent": close(math.pi / 4),
        "rectangularity": close(math.pi / 4),
        "solidity": close(1),
        "circularity": close(1),
        "mean_abs_curvature_per_um": close(1 / radius, rel=1e-3),
        "bending_energy_per_um": close(2 * math.pi / radius, rel=1e-3),
    }


@given(st.floats(0.1, 1e4), DEGREES)
def test_a_square_that_lies_anyhow(side, degrees):
    found = of(affinity.rotate(shapely.box(0, 0, side, side), degrees, origin=(0, 0)))
    turned = math.radians(degrees)
    box = side * (abs(math.cos(turned)) + abs(math.sin(turned)))
    assert found["area_um2"] == close(side**2)
    assert found["perimeter_um"] == close(4 * side)
    assert found["major_axis_um"] == close(2 * side / math.sqrt(3))
    assert found["minor_axis_um"] == close(2 * side / math.sqrt(3))
    assert math.isnan(found["orientation_deg"])
    assert found["max_feret_um"] == close(side * math.sqrt(2))
    assert found["min_feret_um"] == close(side)
    assert found["rectangularity"] == close(1)
    assert found["solidity"] == close(1)
    assert found["extent"] == close(side**2 / box**2)
    assert found["circularity"] == close(math.pi / 4)


@given(st.floats(1, 100), st.floats(1.1, 20), st.floats(-89, 90))
@example(10.0, 2.0, 90.0)
def test_a_rectangle_that_lies_anyhow(height, times, degrees):
    width = height * times
    # y points down, so what turns counter-clockwise on the screen turns the other way here.
    found = of(affinity.rotate(shapely.box(0, 0, width, height), -degrees))
    assert found["major_axis_um"] == close(2 * width / math.sqrt(3))
    assert found["minor_axis_um"] == close(2 * height / math.sqrt(3))
    assert found["aspect_ratio"] == close(times)
    assert found["eccentricity"] == close(math.sqrt(1 - 1 / times**2))
    assert min(abs(found["orientation_deg"] - a) for a in (degrees, degrees - 180)) < 1e-4
    assert -90 < found["orientation_deg"] <= 90
    assert found["max_feret_um"] == close(math.hypot(width, height))
    assert found["min_feret_um"] == close(height)
    assert found["rectangularity"] == close(1)


def test_an_object_that_rises_to_the_right_on_the_screen_has_a_positive_orientation():
    rising = shapely.LineString([(0, 10), (10, 0)]).buffer(1)
    assert of(rising)["orientation_deg"] == close(45)


@settings(max_examples=25)
@given(st.floats(1, 50), st.floats(1.01, 5), DEGREES)
def test_an_ellipse_has_its_own_axes(b, times, degrees):
    found = of(ellipse(b * times, b, degrees))
    for name in ("major_axis_um", "max_feret_um"):
        assert found[name] == close(2 * b * times), name
    for name in ("minor_axis_um", "min_feret_um"):
        assert found[name] == close(2 * b), name
    assert found["eccentricity"] == close(math.sqrt(1 - 1 / times**2), absolute=1e-3)
    assert found["area_um2"] == close(math.pi * b * b * times)
    assert found["rectangularity"] == close(math.pi / 4, rel=1e-3)


@settings(max_examples=25)
@given(st.floats(1, 100), st.floats(0.1, 0.95))
def test_a_ring(outer, share):
    found = of(ring(outer, outer * share))
    assert found["area_um2"] == close(math.pi * outer**2 * (1 - share**2), rel=1e-3)
    assert found["hole_count"] == 1
    assert found["hole_area_um2"] == close(math.pi * (outer * share) ** 2)
    assert found["perimeter_um"] == close(2 * math.pi * outer)
    assert found["perimeter_with_holes_um"] == close(2 * math.pi * outer * (1 + share))
    assert found["major_axis_um"] == close(2 * outer * math.sqrt(1 + share**2))
    assert found["solidity"] == close(1 - share**2, rel=1e-3)
    assert found["circularity"] == close(1)


def test_bending_energy_of_an_ellipse_is_the_integral_of_its_squared_curvature():
    a, b = 3.0, 2.0
    t = np.linspace(0, 2 * math.pi, 100_000, endpoint=False)
    speed = np.hypot(a * np.sin(t), b * np.cos(t))
    energy = ((a * b / speed**3) ** 2 * speed).mean() * 2 * math.pi
    found = of(ellipse(a, b))
    assert found["bending_energy_per_um"] == close(energy, rel=0.01)
    # All around, a convex outline turns by one circle.
    assert found["mean_abs_curvature_per_um"] == close(1 / speed.mean(), rel=1e-3)


@pytest.mark.parametrize("radius_px", [20, 80])
def test_the_stairs_of_a_traced_outline_do_not_bend_it(radius_px):
    pixels = [
        shapely.box(x, y, x + 1, y + 1)
        for x in range(-radius_px, radius_px)
        for y in range(-radius_px, radius_px)
        if math.hypot(x + 0.5, y + 0.5) < radius_px
    ]
    stairs = shapely.union_all(np.array(pixels, dtype=object))
    assert len(stairs.exterior.coords) > radius_px
    found = of(stairs)
    assert found["mean_abs_curvature_per_um"] == close(1 / radius_px, rel=0.05)
    assert found["bending_energy_per_um"] == close(2 * math.pi / radius_px, rel=0.05)


@given(SEEDS, DEGREES, st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))
def test_where_and_how_an_object_lies_changes_only_position_orientation_and_box(
    seed, degrees, dx, dy
):
    before = blob(seed)
    moved = affinity.translate(affinity.rotate(before, degrees), dx, dy)
    first, second = of(before), of(moved)
    for name in set(COLUMNS) - POSITION - {"orientation_deg", "extent"}:
        assert second[name] == close(first[name], rel=1e-6), name
    turned = (second["orientation_deg"] - first["orientation_deg"] + degrees) % 180
    assert min(turned, 180 - turned) < 1e-3


@given(SEEDS, st.floats(0.01, 100))
def test_each_column_grows_by_its_power_of_the_size(seed, factor):
    before = blob(seed)
    first, second = of(before), of(affinity.scale(before, factor, factor, origin=(0, 0)))
    for name in set(COLUMNS) - POSITION:
        grown = first[name] * factor ** POWERS.get(name, 0)
        assert second[name] == close(grown, rel=1e-6), name


@given(SEEDS, st.floats(0.1, 4), st.floats(0.1, 4))
def test_an_object_is_the_same_in_square_and_in_other_pixels(seed, mpp_x, mpp_y):
    um = blob(seed)
    first = of(um)
    second = of(affinity.scale(um, 1 / mpp_x, 1 / mpp_y, origin=(0, 0)), Mpp(mpp_x, mpp_y))
    for name in set(COLUMNS) - {"centroid_x_level0", "centroid_y_level0"}:
        assert second[name] == close(first[name], rel=1e-6), name
    assert second["centroid_x_level0"] == close(first["centroid_x_um"] / mpp_x)
    assert second["centroid_y_level0"] == close(first["centroid_y_um"] / mpp_y)


@given(SEEDS, st.integers(0, 39))
def test_where_an_outline_starts_and_which_way_it_runs_does_not_matter(seed, first):
    polygon = blob(seed)
    points = np.roll(polygon.exterior.coords[:-1], first, axis=0)
    other = shapely.Polygon(points[::-1], [hole.coords[::-1] for hole in polygon.interiors])
    expected, found = of(polygon), of(other)
    for name in COLUMNS:
        assert found[name] == close(expected[name], rel=0.05 if name in BENDS else 1e-6), name


@given(st.lists(SEEDS, min_size=1, max_size=8))
def test_each_of_many_is_measured_as_if_it_were_alone(seeds):
    polygons = [blob(seed, corners=3 + seed % 200) for seed in seeds]
    columns = measure_outlines(polygons_um([Shape(p) for p in polygons], ONE), ONE)
    for place, polygon in enumerate(polygons):
        for name, value in of(polygon).items():
            assert columns[name][place] == close(value, rel=1e-9), name


@given(SEEDS)
def test_calipers_read_what_shapely_finds(seed):
    polygon = blob(seed)
    found = span(np.array([polygon]))
    assert found.rectangle[0] == close(shapely.oriented_envelope(polygon).area, rel=1e-9)
    corners = np.array(polygon.exterior.coords)
    apart = np.linalg.norm(corners[:, None] - corners, axis=2)
    assert found.longest[0] == close(apart.max(), rel=1e-12)
    angles = np.radians(np.arange(0, 180, 0.1))
    widths = np.ptp(corners @ np.array([np.cos(angles), np.sin(angles)]), axis=0)
    assert found.least[0] <= widths.min() + 1e-9
    assert found.least[0] == close(widths.min(), rel=0.01)


def test_calipers_read_a_hull_of_more_corners_than_one_batch_holds():
    many = shapely.Point(0, 0).buffer(1, quad_segs=500)
    assert len(many.exterior.coords) ** 2 > 2**21
    found = span(np.array([many]))
    assert (found.longest[0], found.least[0]) == (close(2), close(2))


# Its scikit-image calls some properties by their old names.
@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning")
@pytest.mark.parametrize("seed", range(3))
def test_histomicstk_finds_the_same_of_the_pixels(seed):
    # It counts pixels, so a large object and some slack.
    polygon = affinity.translate(affinity.scale(blob(seed), 6, 6, origin=(0, 0)), 150, 150)
    polygon = shapely.Polygon(polygon.exterior)
    mask = polygon2mask((300, 300), np.array(polygon.exterior.coords)[:, ::-1])
    theirs = compute_morphometry_features(mask.astype(int)).iloc[0]
    found = of(polygon)
    for ours, name in {
        "area_um2": "Size.Area",
        "major_axis_um": "Size.MajorAxisLength",
        "minor_axis_um": "Size.MinorAxisLength",
        "eccentricity": "Shape.Eccentricity",
        "equivalent_diameter_um": "Shape.EquivalentDiameter",
        "extent": "Shape.Extent",
        "solidity": "Shape.Solidity",
    }.items():
        assert found[ours] == close(theirs[name], rel=0.02), ours


NOT_A_NUMBER = [(0, 0), (1, math.nan), (2, 2)]
ENDLESS = [(0, 0), (1, math.inf), (2, 2)]


@pytest.mark.parametrize("points", [[], NOT_A_NUMBER, ENDLESS], ids=["empty", "nan", "inf"])
def test_a_shape_that_is_none_has_no_number(points):
    with np.errstate(invalid="ignore"):
        polygon = shapely.Polygon(points)
    assert all(math.isnan(value) for value in of(polygon).values())


def test_a_flat_shape_has_length_but_no_axes():
    found = of(shapely.Polygon([(0, 0), (3, 4), (6, 8), (0, 0)]))
    assert (found["area_um2"], found["perimeter_um"], found["max_feret_um"]) == (0, 20, 10)
    assert (found["centroid_x_um"], found["centroid_y_um"]) == (3, 4)
    for name in ("major_axis_um", "aspect_ratio", "equivalent_diameter_um", "circularity"):
        assert math.isnan(found[name]), name


def test_a_point_has_a_place_and_no_form():
    found = of(shapely.Polygon([(3, 4)] * 4))
    assert (found["centroid_x_um"], found["centroid_y_um"]) == (3, 4)
    assert found["area_um2"] == found["perimeter_um"] == found["max_feret_um"] == 0
    for name in ("circularity", "extent", "solidity", "bending_energy_per_um"):
        assert math.isnan(found[name]), name


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=9),
    st.floats(0.25, 2),
)
@example([(0, 0), (2, 2), (2, 0), (0, 2)], 1.0)
def test_no_polygon_however_broken_is_an_error(points, mpp):
    found = of(shapely.Polygon(points), Mpp(mpp, 1))
    assert set(found) == set(COLUMNS)
    assert found["area_um2"] >= 0


def test_no_shapes_give_empty_columns():
    columns = measure_outlines(polygons_um([], ONE), ONE)
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(COLUMNS, 0)


def test_equal_objects_are_equal_in_every_batch():
    shapes = [Shape(blob(seed % 7)) for seed in range(7 * 300)]
    assert len(shapes) > 2 * BATCH
    for name, values in measure_outlines(polygons_um(shapes, ONE), ONE).items():
        assert values.reshape(-1, 7) == close(np.tile(values[:7], (300, 1))), name


def test_an_object_of_two_parts_is_measured_as_one():
    halves = shapely.MultiPolygon([shapely.box(0, 0, 30, 10), shapely.box(30.001, 0, 60, 10)])
    found, whole = of(halves), of(shapely.box(0, 0, 60, 10))
    for name in ("centroid_x_um", "major_axis_um", "minor_axis_um", "max_feret_um", "area_um2"):
        assert found[name] == close(whole[name], 1e-3)
    assert found["orientation_deg"] == close(0, absolute=0.1)
    assert found["perimeter_um"] == close(160, 1e-3)
    # Of the larger part, which is the left one by a hair.
    assert found["bending_energy_per_um"] == close(
        of(shapely.box(0, 0, 30, 10))["bending_energy_per_um"]
    )
