import json
import math
import re

import pytest
import shapely

from deeplab.annotations.files import read_annotations
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.geojson import read_geojson, write_geojson
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError

RING = shapely.box(0, 0, 20, 20) - shapely.box(5, 5, 8.12, 8)
PROPERTIES = {"area_um2": 97.5, "grade": 3, "text": "sure"}
ANNOTATIONS = Annotations(
    (
        Layer("tumour", (200, 0, 10), (Shape(RING, PROPERTIES),)),
        Layer("Straße", (1, 2, 3), (Shape(shapely.box(1, 1, 2, 2)),)),
    )
)


def write(path, features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def feature(geometry, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


SQUARE = [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]


def test_what_is_written_is_read_again(tmp_path):
    write_geojson(tmp_path / "a.geojson", ANNOTATIONS)
    again = read_geojson(tmp_path / "a.geojson")
    assert [(la.name, la.colour) for la in again.layers] == [
        ("tumour", (200, 0, 10)),
        ("Straße", (1, 2, 3)),
    ]
    assert again.layers[0].shapes[0].polygon.equals(RING)
    assert again.layers[0].shapes[0].properties == PROPERTIES


def test_what_is_written_follows_rfc_7946_and_qupath(tmp_path):
    write_geojson(tmp_path / "a.geojson", ANNOTATIONS)
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    first = document["features"][0]
    outside, hole = first["geometry"]["coordinates"]
    assert outside[0] == outside[-1]
    assert hole[0] == hole[-1]
    assert shapely.LinearRing(outside).is_ccw
    assert not shapely.LinearRing(hole).is_ccw
    assert first["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "tumour", "color": [200, 0, 10]},
        "measurements": {"area_um2": 97.5, "grade": 3},
        "metadata": {"text": "sure"},
    }


def test_no_shapes_make_an_empty_collection(tmp_path):
    write_geojson(tmp_path / "a.geojson", Annotations(()))
    assert json.loads((tmp_path / "a.geojson").read_text())["features"] == []
    assert read_geojson(tmp_path / "a.geojson").layers == ()


def test_multipolygons_old_measurements_and_colours_are_read(tmp_path):
    path = write(
        tmp_path / "a.geojson",
        [
            feature(
                {"type": "MultiPolygon", "coordinates": [SQUARE, [[[9, 9], [12, 9], [9, 12]]]]},
                classification={"name": "a", "colorRGB": -3670016},
                measurements=[{"name": "n", "value": 2}, {"name": "bad", "value": None}],
            ),
            feature({"type": "Polygon", "coordinates": SQUARE}, name="b", color=[1, 2, 3]),
            feature({"type": "Polygon", "coordinates": SQUARE}),
            feature({"type": "Point", "coordinates": [1, 2]}, name="b"),
            feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, name="b"),
            feature({"type": "Circle"}, name="b"),
        ],
    )
    read = read_geojson(path)
    assert read.names == ("a", "b", "unclassified")
    (shape,) = read.layer("a").shapes  # a feature of QuPath is one object
    assert [part.area for part in shape.parts] == [16, 4.5]
    assert shape.properties == {"n": 2}
    assert (read.layer("a").colour, read.layer("b").colour) == ((200, 0, 0), (1, 2, 3))
    assert [mark.geometry.wkt for mark in read.layer("b").marks] == [
        "POINT (1 2)",
        "LINESTRING (1 2, 3 4)",
    ]
    assert read.remarks == (
        "1 feature without a class (no property classification, class, ... name) in the layer"
        " unclassified",
        "the class of 3 features is the property 'name'",
        "1 left out: geometry of type Circle",
    )


def test_a_cell_of_qupath_has_its_derived_class_its_name_and_its_nucleus(tmp_path):
    cell = feature(
        {"type": "Polygon", "coordinates": SQUARE},
        name="cell 7",
        classification={"names": ["Tumor", "Positive"], "color": [1, 2, 3]},
    )
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [1, 2]]]}
    read = read_geojson(write(tmp_path / "a.geojson", [cell]))
    assert read.names == ("Tumor: Positive", "nuclei of Tumor: Positive")
    (outline,) = read.layers[0].shapes
    (nucleus,) = read.layers[1].shapes
    assert (outline.polygon.area, nucleus.polygon.area) == (16, 0.5)
    assert outline.properties == nucleus.properties == {"name": "cell 7"}
    write_geojson(tmp_path / "b.geojson", read)
    assert (
        json.loads((tmp_path / "b.geojson").read_text())["features"][0]["properties"]["name"]
        == "cell 7"
    )
    assert read_geojson(tmp_path / "b.geojson") == read


def test_features_without_a_place_are_counted_and_collections_taken_apart(tmp_path):
    square = {"type": "Polygon", "coordinates": SQUARE}
    point = {"type": "Point", "coordinates": [1, 2]}
    inner = {"type": "GeometryCollection", "geometries": [point]}
    features = [
        feature(None),
        feature({"type": "Polygon", "coordinates": []}),
        feature({"type": ["Polygon"], "coordinates": SQUARE}),
        feature({"type": "GeometryCollection", "geometries": [square, inner]}, name="a"),
    ]
    read = read_geojson(write(tmp_path / "a.geojson", features))
    assert read.names == ("a",)
    assert (len(read.layer("a").shapes), len(read.layer("a").marks)) == (1, 1)
    assert read.remarks == (
        "the class of 1 feature is the property 'name'",
        "1 left out: Polygon without coordinates",
        "1 left out: feature without a place",
        "1 left out: geometry of type ['Polygon']",
    )


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ([3], "feature 1 is not a GeoJSON feature"),
        ([feature(3)], "feature 1 has no geometry"),
        ([feature({"type": "Polygon", "coordinates": 3})], "polygon without outline"),
        ([feature({"type": "MultiPolygon", "coordinates": [3]})], "polygon without outline"),
        ([feature({"type": "MultiPolygon", "coordinates": 3})], "MultiPolygon without coordinates"),
        ([feature({"type": "Polygon", "coordinates": [[[1e99, 0]] * 3]})], "not on a slide"),
        ("abc", "not a GeoJSON feature collection"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(tmp_path, features, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        read_geojson(write(tmp_path / "a.geojson", features))


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        ([0.5], r"\[0.5\]"),
        ([0.5, 0.5, 0.5], r"\[0.5, 0.5, 0.5\]"),
        ([0, 0.5], r"\[0, 0.5\]"),
        (0.5, "0.5"),
        ("0.5", "'0.5'"),
        ([math.nan, 0.5], r"\[NaN or infinite, 0.5\]"),
        ({"x": 0.5, "y": 0.5}, ""),
    ],
)
def test_a_scale_that_is_none_is_left_out_and_said(tmp_path, scale, said):
    path = tmp_path / "a.geojson"
    path.write_text(
        json.dumps({"type": "FeatureCollection", "um_per_pixel": scale, "features": []})
    )
    read = read_geojson(path)
    assert read.mpp is None
    (remark,) = read.remarks
    assert re.fullmatch(f"1 left out: um per pixel .*{said}, which is no scale", remark)


def test_a_measurement_that_is_no_number_is_refused_and_nothing_written(tmp_path):
    shape = Shape(RING, {"n": math.nan})
    with pytest.raises(AnnotationError, match="not a finite number"):
        write_geojson(tmp_path / "a.json", Annotations((Layer("a", (0, 0, 0), (shape,)),)))
    assert list(tmp_path.iterdir()) == []


def polygon(**properties):
    return feature({"type": "Polygon", "coordinates": SQUARE}, **properties)


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"type": "tumor", "prob": 0.9}, "tumor"),  # tiatoolbox
        ({"type": 3}, "type 3"),
        ({"type": 1.0}, "stroma"),  # the first that was named
        ({"type": "Polygon", "name": "region 7"}, "region 7"),
        ({"classification": "tumor", "name": "region 7"}, "tumor"),
        ({"classification": {"name": "tumor"}, "class": "stroma"}, "tumor"),
        ({"classification": {"name": None}, "class": "tumor"}, "tumor"),
        ({"classification": math.nan, "Class_Name": "tumor"}, "tumor"),
        ({"class": {"name": "tumor"}}, "tumor"),
        ({"CLASS": "tumor"}, "tumor"),
        ({"label": ["Tumor", "Positive"]}, "Tumor: Positive"),
        ({"category": "tumor", "label": "7"}, "tumor"),
        ({"group": "tumor", "name": "7"}, "tumor"),
        ({"Cell Type": "tumor"}, "tumor"),
        ({"class": " "}, "unclassified"),
        ({"prob": 0.9}, "unclassified"),
    ],
)
def test_a_class_is_taken_from_the_property_that_has_one_and_it_is_said(tmp_path, properties, name):
    path = write(tmp_path / "a.geojson", [polygon(**properties)])
    read = read_geojson(path, Reading(classes=["stroma"]))
    assert read.names == (name,)
    is_plain = properties.get("classification") in ("tumor", {"name": "tumor"})
    assert bool(read.remarks) == (not is_plain)
    if not is_plain:
        said = "without a class" if name == "unclassified" else "the class of 1 feature is"
        assert said in read.remarks[0]


def test_a_member_of_a_feature_may_have_its_class(tmp_path):
    found = polygon() | {"class": "tumor"}
    assert read_geojson(write(tmp_path / "a.geojson", [found])).names == ("tumor",)


def test_numbers_and_words_are_kept_and_what_else_is_lost_is_said(tmp_path):
    found = polygon(
        type="tumor", prob=0.9, who="me", sure=True, nested={"a": 1}, none=None, isLocked=True
    )
    read = read_geojson(write(tmp_path / "a.geojson", [found]))
    assert read.layers[0].shapes[0].properties == {"prob": 0.9, "who": "me"}
    assert read.remarks == (
        "the class of 1 feature is the property 'type'",
        "properties that are neither numbers nor words were left out: 'sure', 'nested'",
    )


@pytest.mark.parametrize(
    "document",
    [
        {"type": "Polygon", "coordinates": SQUARE},
        {"coordinates": [SQUARE], "type": "MultiPolygon"},
        {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": SQUARE}]},
        [{"type": "Polygon", "coordinates": SQUARE}],
        {
            "type": "FeatureCollection",
            "features": [{"type": "Polygon", "coordinates": SQUARE}],
        },
    ],
)
def test_a_geometry_without_a_feature_is_read(tmp_path, document):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(document))
    (layer,) = read_annotations(path).layers
    assert [shape.polygon.area for shape in layer.shapes] == [16]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('{"type": "FeatureCollection", "features": [', "it is cut short: copy or export it again"),
        (" \n", "it is cut short"),
        ('{"type": "Feature"}\n{"type": "Feature"}\n', "make one FeatureCollection"),
        ("<!DOCTYPE html><html>Sign in</html>", "name it by the suffix of what it is"),
    ],
)
def test_what_is_no_json_is_told_with_what_to_do(tmp_path, text, advice):
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=f"is not JSON: .*{advice}"):
        read_annotations(path)
