"""Every kind of element that HistomicsUI draws or shows: an area, or said to be passed over."""

import math

import jsonschema
import pytest

from tests.annotations.documents_for_tests import read_documents
from tests.annotations.girder_schema import load_schema

RING = [[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]]
HOLE = [[2, 2, 0], [4, 2, 0], [4, 4, 0], [2, 4, 0]]
BOX = {"center": [20, 20, 0], "width": 8, "height": 4, "rotation": 0.5}
AREAS = {
    "polygon": ({"type": "polyline", "points": RING, "closed": True}, 100),
    "polygon with a hole": (
        {"type": "polyline", "points": RING, "closed": True, "holes": [HOLE]},
        96,
    ),
    "open line": ({"type": "polyline", "points": RING, "closed": False}, 100),
    "rectangle": ({"type": "rectangle", **BOX}, 32),
    "grid": ({"type": "rectanglegrid", "widthSubdivisions": 2, "heightSubdivisions": 2, **BOX}, 32),
    "ellipse": ({"type": "ellipse", **BOX}, math.pi * 4 * 2),
    "circle": ({"type": "circle", "center": [20, 20, 0], "radius": 50}, math.pi * 2500),
}
VALUES = {"points": [[1, 1, 0, 0.5], [2, 2, 0, 0.7]], "radius": 3}
NO_AREA = {
    "point": {"center": [1, 1, 0]},
    "arrow": {"points": [[0, 0, 0], [5, 5, 0]]},
    "heatmap": VALUES,
    "griddata": {"interpretation": "heatmap", "gridWidth": 2, "values": [1, 2, 3, 4]},
    "image": {"girderId": "5f" * 12},
}

MARKED = {"point": "Point", "arrow": "LineString"}


def checked(element):
    """The element, as the server's own schema takes it."""
    schema = load_schema()
    if schema is not None:
        jsonschema.Draft6Validator(schema).validate({"name": "a", "elements": [element]})
    return element


@pytest.mark.parametrize(("element", "area"), AREAS.values(), ids=AREAS)
def test_what_encloses_an_area_is_a_shape(element, area):
    (shape,) = read_documents([{"name": "a", "elements": [checked(element)]}]).layer("a").shapes
    assert shape.polygon.area == pytest.approx(area, rel=0.03)
    assert len(shape.polygon.interiors) == len(element.get("holes", []))


@pytest.mark.parametrize("kind", ["heatmap", "griddata", "image"])
def test_what_marks_nothing_is_passed_over_and_said_so(kind):
    other = {"type": "polyline", "points": RING, "closed": True}
    element = checked({"type": kind, **NO_AREA[kind]})
    read = read_documents([{"name": "a", "elements": [element, other]}])
    assert read.shape_count == 1
    assert read.remarks == (f"1 left out: element of type {kind}",)


@pytest.mark.parametrize("kind", MARKED)
def test_points_and_arrows_are_marks(kind):
    (layer,) = read_documents([checked_layer(kind)]).layers
    assert [mark.geometry.geom_type for mark in layer.marks] == [MARKED[kind]]
    assert not layer.shapes


def checked_layer(kind):
    return {"name": "a", "elements": [checked({"type": kind, **NO_AREA[kind]})]}
