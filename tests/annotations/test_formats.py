"""What all formats have in common: they are told apart, and give back what they say they carry."""

import json
import string
from dataclasses import replace

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deeplab.annotations.format import Reading, Trait, Writing, lost
from deeplab.annotations.formats import FORMATS, format_of, format_to_write, named
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.errors import AnnotationError, ConfigError
from deeplab.geometry.frames import Mpp

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from("<>&\"',;/\\ "),
    min_size=1,
    max_size=12,
).filter(lambda name: name == name.strip() and name)
WORDS = st.dictionaries(
    st.text(string.ascii_letters, min_size=1, max_size=8).map(lambda key: f"own_{key}"),
    st.integers(-1000, 1000) | st.floats(-1e6, 1e6).map(lambda x: round(x, 3)) | NAMES,
    max_size=2,
)
PLACES = st.integers(0, 300)


@st.composite
def shapes(draw):
    x, y = draw(PLACES), draw(PLACES)
    width, height = draw(st.integers(4, 40)), draw(st.integers(4, 40))
    polygon = shapely.box(x, y, x + width, y + height)
    if draw(st.booleans()):
        polygon -= shapely.box(
            x + 1, y + 1, x + 1 + draw(st.integers(1, width - 2)), y + height - 1
        )
    return Shape(polygon, draw(WORDS))


@st.composite
def marks(draw):
    places = draw(st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=3, unique=True))
    # Three points and more are an outline that nobody closed.
    line = shapely.Point(places[0]) if len(places) == 1 else shapely.LineString(places[:2])
    return Mark(line, draw(WORDS))


@st.composite
def annotations(draw):
    layers = [
        Layer(
            name,
            draw(st.tuples(*[st.integers(0, 255)] * 3)),
            tuple(draw(st.lists(shapes(), max_size=4))),
            draw(st.sampled_from(["", "two, of them"])),
            tuple(draw(st.lists(marks(), max_size=2))),
        )
        for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    ]
    scales = st.builds(Mpp, *[st.sampled_from([0.25, 0.2521, 1.0])] * 2)
    return Annotations(tuple(layers), {}, draw(st.none() | scales))


def of(layer, traits):
    """What a format with such traits keeps of a layer, to be compared."""
    kept = {Trait.COLOURS: layer.colour, Trait.DESCRIPTIONS: layer.description}
    words = Trait.PROPERTIES in traits
    seen = [each for trait, each in kept.items() if trait in traits]
    outlines = sorted(
        (each.polygon.normalize().wkt, sorted(each.properties.items()) if words else [])
        for each in layer.shapes
    )
    points = [
        (each.geometry.wkt, sorted(each.properties.items()) if words else [])
        for each in layer.marks
        if Trait.MARKS in traits
    ]
    return layer.name, seen, outlines, points


@pytest.mark.parametrize("name", ["histomicsui", "geojson"])
@pytest.mark.parametrize("spilled", [False, True])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(drawn=annotations())
def test_what_a_format_carries_is_read_again(tmp_path, name, spilled, drawn):
    form = named(name)
    path = tmp_path / f"a{form.suffixes[0]}"
    form.write(path, drawn, Writing())
    again = form.read(path, Reading(spill=tmp_path if spilled else None))
    kept = [
        layer
        for layer in drawn.layers
        if Trait.EMPTY_LAYERS in form.carries or layer.shapes or layer.marks
    ]
    assert [of(layer, form.carries) for layer in again.layers] == [
        of(layer, form.carries) for layer in kept
    ]
    assert again.mpp == drawn.mpp
    assert not again.remarks
    if kept:
        assert format_of(path) is form


def test_what_a_format_cannot_carry_is_said():
    outline = Shape(shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 2, 2), {"n": 1})
    layers = (Layer("a", (1, 2, 3), (outline,), "said"), Layer("none", (0, 0, 0), ()))
    drawn = Annotations(layers, {"model": "x"}, Mpp.square(0.5))
    assert lost(drawn, named("histomicsui")) == []
    assert set(lost(drawn, named("geojson"))) == {
        Trait.DESCRIPTIONS,
        Trait.EMPTY_LAYERS,
        Trait.ATTRIBUTES,
    }
    assert lost(replace(drawn, layers=(), attributes={}), named("geojson")) == []


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"name": "a", "elements": []}, "histomicsui"),
        ([{"_id": "1", "annotation": {"name": "a", "elements": []}}], "histomicsui"),
        ([], "histomicsui"),
        ({"crs": {"x": [1]}, "type": "FeatureCollection", "features": []}, "geojson"),
        ([{"type": "Feature", "geometry": None}], "geojson"),
    ],
)
def test_json_is_told_by_its_keys(tmp_path, document, name):
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert format_of(tmp_path / "a.json").name == name


def test_json_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"version": 1}')
    with pytest.raises(AnnotationError, match="JSON of no kind that is known"):
        format_of(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<Annotations/>", "imagescope"),
        ("<!-- <Annotations> --><ASAP_Annotations/>", "asap"),
        ('<?xml version="1.0" encoding="utf-16"?><ASAP_Annotations/>', "asap"),
    ],
)
def test_xml_is_told_by_its_root(tmp_path, text, name):
    (tmp_path / "a.xml").write_text(text, encoding="utf-16" if "utf-16" in text else "utf-8")
    assert format_of(tmp_path / "a.xml").name == name


def test_xml_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<html/>")
    with pytest.raises(AnnotationError, match=r"ImageScope XML, ASAP XML\): it begins with <html>"):
        format_of(tmp_path / "a.xml")


def test_json_nested_without_end_is_refused_in_little_memory(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(AnnotationError, match="nested too deeply"):
        format_of(tmp_path / "a.json")


def test_a_suffix_tells_what_is_written(tmp_path):
    assert format_to_write(tmp_path / "a.anot").name == "histomicsui"
    assert format_to_write(tmp_path / "a.GEOJSON").name == "geojson"
    with pytest.raises(AnnotationError, match=r"type \.csv"):
        format_to_write(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="histomicsui, geojson"):
        named("aperio")


def test_names_and_keys_of_formats_are_their_own():
    names = [each.name for each in FORMATS]
    keys = [key for each in FORMATS for key in each.json_keys]
    assert len(set(names)) == len(names)
    assert len(set(keys)) == len(keys)


def test_the_name_of_a_layer_may_come_after_its_elements(tmp_path):
    square = {"type": "polyline", "closed": True, "points": [[0, 0, 0], [4, 0, 0], [4, 4, 0]]}
    entries = [
        {"_id": name, "annotation": {"elements": [square] * count, "name": name}}
        for name, count in (("a", 2), ("b", 0), ("c", 3))
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(entries))
    read = named("histomicsui").read(path, Reading())
    assert [(layer.name, len(layer.shapes)) for layer in read.layers] == [
        ("a", 2),
        ("b", 0),
        ("c", 3),
    ]
