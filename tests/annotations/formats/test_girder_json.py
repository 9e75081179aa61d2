import contextlib
import json
import math
import time

import jsonschema
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.annotations.formats.girder_json import (
    read_girder_json,
    read_heatmap_points,
    write_girder_json,
)
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError
from tests.annotations.documents_for_tests import read_documents
from tests.annotations.girder_schema import load_schema
from tests.pace import at_this_pace

RING = shapely.box(0, 0, 20, 20) - shapely.box(5, 5, 8.126, 8)
ANNOTATIONS = Annotations(
    (
        Layer(
            "glomérulus",
            (255, 0, 128),
            (
                Shape(RING, {"area_um2": 97.5, "confidence": 0.9}),
                Shape(shapely.box(30, 30, 40, 40), {"area_um2": 25.0, "confidence": 0.5}),
            ),
            "2 objects",
        ),
        Layer("empty", (1, 2, 3), ()),
    ),
    {"cli": "SegmentWSI", "params": {"batch_size": 2}},
)


def element(**fields):
    return [{"name": "a", "elements": [fields]}]


def only_polygon(**fields) -> shapely.Polygon:
    (shape,) = read_documents(element(**fields)).layer("a").shapes
    return shape.polygon


def test_the_mark_of_one_layer_is_not_read_as_that_of_all():
    marked = {"cli": "SegmentWSI", "corrected": {"by": "anna"}}
    layers = [{"name": name, "elements": [], "attributes": marked} for name in "ab"]
    assert read_documents(layers).attributes == {"cli": "SegmentWSI"}


def test_what_is_written_is_read_again(tmp_path):
    write_girder_json(tmp_path / "a.anot", ANNOTATIONS)
    again = read_girder_json(tmp_path / "a.anot")
    assert again.attributes == ANNOTATIONS.attributes
    assert again.names == ("glomérulus", "empty")
    layer = again.layer("glomérulus")
    assert (layer.colour, layer.description) == ((255, 0, 128), "2 objects")
    assert [s.properties["confidence"] for s in layer.shapes] == [0.5, 0.9]
    rounded = shapely.box(0, 0, 20, 20) - shapely.box(5, 5, 8.13, 8)
    assert layer.shapes[1].polygon.equals(rounded)


@pytest.mark.parametrize("wanted", [set(), {"b"}, {"a", "c"}, {"a", "b", "c"}])
@pytest.mark.parametrize("bare", [True, False])
def test_only_the_annotations_that_are_chosen_are_read(tmp_path, wanted, bare):
    boxes = {"a": 2, "b": 0, "c": 3}
    layers = [
        Layer(name, (1, 2, 3), [Shape(shapely.box(i, 0, i + 5, 5 + place)) for i in range(count)])
        for place, (name, count) in enumerate(boxes.items())
    ]
    write_girder_json(tmp_path / "a.anot", Annotations(tuple(layers)))
    told = json.loads((tmp_path / "a.anot").read_text())
    path = tmp_path / "live.json"
    path.write_text(json.dumps(told if bare else [{"annotation": each} for each in told]))
    read = read_girder_json(path, is_chosen=lambda each: each.annotation["name"] in wanted)
    assert {layer.name: len(layer.shapes) for layer in read.layers} == {
        name: count for name, count in boxes.items() if name in wanted
    }
    for layer in read.layers:
        drawn = next(each for each in layers if each.name == layer.name)
        assert [s.polygon.bounds for s in layer.shapes] == [s.polygon.bounds for s in drawn.shapes]


def test_the_server_s_own_schema_accepts_what_is_written(tmp_path):
    schema = load_schema()
    if schema is None:
        pytest.skip("girder-large-image-annotation is not installed (pip install --no-deps)")
    heatmap = Heatmap("a", (1, 2, 3), np.array([[1.0, 2.0, 0.5]]), 16.0)
    write_girder_json(tmp_path / "a.json", ANNOTATIONS, heatmaps=[heatmap])
    written = json.loads((tmp_path / "a.json").read_text())
    assert len(written) == 3
    for annotation in written:
        jsonschema.Draft6Validator(schema).validate(annotation)
    written[0]["elements"][0]["points"][0] = [1, 2]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft6Validator(schema).validate(written[0])


def test_the_points_of_heatmaps_are_read_by_the_names_of_classes(tmp_path):
    points = np.array([[1.0, 2.0, 0.5], [30.5, 2.0, 1.0]])
    heatmaps = [Heatmap("a", (1, 2, 3), points, 16.0), Heatmap("b", (1, 2, 3), points[:0], 16.0)]
    write_girder_json(tmp_path / "a.json", ANNOTATIONS, heatmaps=heatmaps)
    found = read_heatmap_points(tmp_path / "a.json")
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], points)
    assert found["b"].shape == (0, 3)
    write_girder_json(tmp_path / "a.json", ANNOTATIONS)
    assert read_heatmap_points(tmp_path / "a.json") == {}


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[1, 2, 0, 1.5]], "has a value that is not 0 to 1"),
        ([[1, 2, 0]], "is not a list of points [x, y, z, value]"),
        ("none", "is not a list of points [x, y, z, value]"),
        ([[1, "2", 0, 0.5]], "has a point that is not a number"),
        ([[1e30, 2, 0, 0.5]], "has a point that is not on a slide"),
    ],
)
def test_a_heatmap_that_cannot_be_one_is_refused(tmp_path, points, said):
    element = {"type": "heatmap", "points": points}
    (tmp_path / "a.json").write_text(json.dumps({"name": "a-heatmap", "elements": [element]}))
    with pytest.raises(AnnotationError) as refused:
        read_heatmap_points(tmp_path / "a.json")
    assert said in str(refused.value)


def test_elements_of_one_form_stand_together_and_coordinates_have_two_decimals(tmp_path):
    shapes = tuple(Shape(p) for p in (RING, shapely.box(0, 0, 1 / 3, 1), RING))
    write_girder_json(tmp_path / "a.json", Annotations((Layer("a", (0, 0, 0), shapes),)))
    (annotation,) = json.loads((tmp_path / "a.json").read_text())
    elements = annotation["elements"]
    assert ["holes" in e for e in elements] == [False, True, True]
    assert len({tuple(e) for e in elements[1:]}) == 1
    assert sorted({x for x, _, _ in elements[0]["points"]}) == [0, 0.33]
    assert elements[0] | {"points": 0} == {
        "type": "polyline",
        "closed": True,
        "points": 0,
        "fillColor": "rgba(0, 0, 0, 0.25)",
        "lineColor": "rgb(0, 0, 0)",
        "lineWidth": 2,
        "group": "a",
        "label": {"value": "a"},
        "user": {},
    }


def test_a_layer_that_is_not_tinted_shows_the_colours_of_the_tissue(tmp_path):
    layer = Layer("a", (255, 214, 0), (Shape(RING),), is_tinted=False)
    write_girder_json(tmp_path / "a.json", Annotations((layer,)))
    (annotation,) = json.loads((tmp_path / "a.json").read_text())
    (element,) = annotation["elements"]
    assert (element["fillColor"], element["lineColor"]) == (
        "rgba(255, 214, 0, 0)",
        "rgb(255, 214, 0)",
    )


def test_twenty_thousand_outlines_are_written_in_seconds(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) * 10
    shapes = tuple(Shape(shapely.Polygon(circle + i), {"area_um2": 1.0}) for i in range(20_000))
    start = time.monotonic()
    write_girder_json(tmp_path / "a.json", Annotations((Layer("a", (0, 0, 0), shapes),)))
    assert time.monotonic() - start < at_this_pace(10)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_property_that_is_no_number_is_refused_and_nothing_written(tmp_path, value):
    shape = Shape(RING, {"confidence": value})
    with pytest.raises(AnnotationError, match="cannot be written as JSON"):
        write_girder_json(tmp_path / "a.json", Annotations((Layer("a", (0, 0, 0), (shape,)),)))
    assert list(tmp_path.iterdir()) == []


def test_a_nameless_layer_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="without a name"):
        write_girder_json(tmp_path / "a.json", Annotations((Layer(" ", (0, 0, 0), ()),)))


def test_rectangles_turn_from_x_towards_y():
    fields = {"type": "rectangle", "center": [10, 20, 0], "width": 8, "height": 2}
    assert only_polygon(**fields).equals(shapely.box(6, 19, 14, 21))
    turned = only_polygon(**fields, rotation=math.pi / 6)
    tip = (10 + 4 * math.cos(math.pi / 6), 20 + 4 * math.sin(math.pi / 6))
    assert turned.boundary.distance(shapely.Point(tip)) < 1e-9
    assert turned.area == pytest.approx(16)


def test_circles_and_ellipses_keep_their_area():
    circle = only_polygon(type="circle", center=[0, 0, 0], radius=100)
    assert circle.area == pytest.approx(math.pi * 100**2, rel=0.005)
    oval = only_polygon(
        type="ellipse", center=[0, 0, 0], width=200, height=40, rotation=math.pi / 2
    )
    assert oval.area == pytest.approx(math.pi * 100 * 20, rel=0.005)
    assert oval.bounds == pytest.approx((-20, -100, 20, 100), abs=0.3)


def test_an_open_line_is_closed_and_points_and_short_lines_are_marks():
    elements = [
        {"type": "polyline", "closed": False, "points": [[0, 0, 0], [4, 0, 0], [4, 4, 0]]},
        {"type": "polyline", "points": [[0, 0, 0], [4, 0, 0]]},
        {"type": "point", "center": [1, 1, 0]},
        {"type": "point", "center": [2, 1, 0]},
    ]
    (layer,) = read_documents({"name": "a", "elements": elements}).layers
    assert [s.polygon.area for s in layer.shapes] == [8]
    assert [mark.geometry.wkt for mark in layer.marks] == [
        "LINESTRING (0 0, 4 0)",
        "POINT (1 1)",
        "POINT (2 1)",
    ]


def test_annotations_as_a_server_sends_them_keep_colour_group_and_properties():
    square = [[0, 0, 0], [4, 0, 0], [4, 4, 0], [0, 4, 0]]
    fields = {"lineColor": "#ff800040", "group": "g", "user": {"n": 3, "bad": None, "yes": True}}
    elements = [{"type": "polyline", "closed": True, "points": square} | fields]
    (layer,) = read_documents(
        [{"_id": "0" * 24, "annotation": {"name": "a", "elements": elements}}]
    ).layers
    assert layer.colour == (255, 128, 0)
    assert layer.shapes[0].properties == {"n": 3, "group": "g"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("[{", "is not JSON"),
        ("[1]", "entry 1 is not an annotation"),
        ('{"name": "a"}', "entry 1 is not an annotation"),
        ('[{"name": "a", "elements": [3]}]', "element 1 of 'a' is not an object"),
        (
            '[{"elements": [{"type": "circle", "center": [NaN, 1, 0]}]}]',
            "a point that is not a number",
        ),
        ('[{"elements": [{"type": "circle", "center": [1, 1, 0]}]}]', "radius .* is None"),
        (
            '[{"elements": [{"type": "circle", "center": [1, 1, 0], "radius": -1}]}]',
            "radius .* is below 0",
        ),
        ('[{"elements": [{"type": "polyline", "points": [[1e300, 0, 0]]}]}]', "not on a slide"),
        ('[{"elements": [{"type": "polyline", "points": [[0, 0], [0]]}]}]', "different lengths"),
        ('[{"elements": [{"type": "polyline", "points": "abc"}]}]', "not a list of points"),
        (
            '[{"elements": [{"type": "polyline", "points": [["a", "b"]]}]}]',
            "a point that is not a number",
        ),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=sentence) as caught:
        read_girder_json(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "elements", "type", "points", "center", "radius", "holes", "user"]
            ),
            inner | st.sampled_from(["polyline", "circle", "rectangle"]),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150)
@given(JSON)
def test_any_json_is_read_or_refused(value):
    # Any other exception is the failure this looks for.
    with contextlib.suppress(AnnotationError):
        read_documents([{"name": "a", "elements": [value]}])
