"""What all formats have in common: they are told apart, and give back what they say they carry."""

import json
import string
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deeplab.annotations.formats.format import Reading, Trait, Writing, lost
from deeplab.annotations.formats.table import FORMATS, format_of, format_to_write, named
from deeplab.annotations.raster.rasterize import draw
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.errors import AnnotationError, ConfigError
from deeplab.geometry.frames import Mpp, WorkFrame

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from("<>&\"',;/\\ "),
    min_size=1,
    max_size=12,
).filter(lambda name: name == name.strip() and name)
WORDS = st.dictionaries(
    st.text(string.ascii_letters, min_size=1, max_size=8).map(lambda key: f"own_{key}"),
    st.integers(-1000, 1000)
    | st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
    | NAMES.filter(lambda word: not word.lstrip("-").isdecimal()),  # ImageScope keeps no types
    max_size=2,
)
PLACES = st.integers(0, 300)
RING = shapely.box(10, 10, 60, 50) - shapely.box(20, 20, 30, 30)
ONE_SCALE = ("imagescope", "hovernet")  # for both axes


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
    attributes = draw(st.sampled_from([{}, {"model": "x"}]))
    return Annotations(tuple(layers), attributes, draw(st.none() | scales))


def kept_by(form, drawn):
    """What a file of the format holds of annotations."""
    has = form.carries
    layers = [
        replace(
            layer,
            description=layer.description if Trait.DESCRIPTIONS in has else "",
            shapes=[kept_shape(shape, has) for shape in layer.shapes],
            marks=[kept_words(mark, has) for mark in layer.marks if Trait.MARKS in has],
        )
        for layer in drawn.layers
    ]
    if Trait.EMPTY_LAYERS not in has:
        layers = [layer for layer in layers if layer.shapes or layer.marks]
    scale = drawn.mpp if Trait.MPP in has else None
    if scale and form.name in ONE_SCALE:
        scale = Mpp.square(scale.mean)
    return layers, scale, drawn.attributes if Trait.ATTRIBUTES in has else {}


def kept_shape(shape, has):
    outline = shape.polygon if Trait.HOLES in has else shapely.Polygon(shape.polygon.exterior)
    return kept_words(replace(shape, polygon=outline), has)


def kept_words(each, has):
    return each if Trait.PROPERTIES in has else replace(each, properties={})


def assert_same_layers(layers, expected, form):
    told = [(layer.name, layer.colour, layer.description) for layer in layers]
    assert told == [(layer.name, layer.colour, layer.description) for layer in expected]
    for layer, wanted in zip(layers, expected, strict=True):
        in_order = list(wanted.shapes)
        if form.name == "histomicsui":  # which stands those of one form together
            in_order.sort(
                key=lambda shape: (bool(shape.polygon.interiors), sorted(shape.properties))
            )
        assert [shape.properties for shape in layer.shapes] == [
            shape.properties for shape in in_order
        ]
        for shape, other in zip(layer.shapes, in_order, strict=True):
            assert shape.polygon.equals(other.polygon)
        marks = [(mark.geometry.wkt, mark.properties) for mark in layer.marks]
        assert marks == [(mark.geometry.wkt, mark.properties) for mark in wanted.marks]


def assert_same_pixels(layers, expected):
    """Shapes of a mask are those that lie on top, cut to their pixels."""
    told = [(layer.name, layer.colour, layer.description, list(layer.marks)) for layer in layers]
    assert told == [(each.name, each.colour, each.description, []) for each in expected]
    values = {layer.name: value for value, layer in enumerate(expected, start=1)}
    frame = WorkFrame(1.0, 1.0, 400, 400, 1.0)
    pixels = [
        draw(Annotations(tuple(some)), values, frame.box, frame) for some in (layers, expected)
    ]
    np.testing.assert_array_equal(*pixels)


HARD_NAMES = Annotations(
    (
        Layer("a, b; c/d\\e: ü 👩‍🔬 'x' \"y\" <z>&amp;", (1, 2, 3), (Shape(RING), Shape(RING))),
        Layer("../../etc", (255, 0, 0), (), "nothing here"),
        Layer("Überdeckung", (0, 0, 0), (Shape(shapely.box(5, 5, 30, 30), {"own_n": 0.5}),)),
    ),
    {"model": "x"},
    Mpp(0.25, 0.5),
)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(drawn=annotations(), spilled=st.booleans())
@example(drawn=HARD_NAMES, spilled=True)
def test_a_format_keeps_what_it_says_it_carries_and_nothing_else(tmp_path, form, drawn, spilled):
    path = tmp_path / f"a{form.suffixes[0]}"
    path.unlink(missing_ok=True)
    form.write(path, drawn, Writing())
    again = form.read(path, Reading(spill=tmp_path if spilled else None))
    layers, mpp, attributes = kept_by(form, drawn)
    if Trait.OVERLAPS in form.carries:
        assert_same_layers(again.layers, layers, form)
        assert again.attributes == attributes
    else:
        assert_same_pixels(again.layers, layers)
    assert (again.mpp is None) == (mpp is None)
    if mpp:
        assert (again.mpp.x, again.mpp.y) == pytest.approx((mpp.x, mpp.y), rel=2e-6)
    assert not again.remarks
    if layers:
        assert format_of(path) is form


NO_NUMBERS = ["NaN", "Infinity", '"x"']
WRITTEN = [form for form in FORMATS if form.is_text]
EDGE_LEVEL0, MPP = "7777", "0.0625"
OTHERWISE = {"hovernet": {EDGE_LEVEL0: "7776", MPP: "160.0"}}  # the middle of a pixel; mag


def with_wrong(form, folder, number, wrong):
    """A file in which a number is replaced by something else."""
    path = folder / f"a{form.suffixes[0]}"
    outline = Shape(shapely.box(0, 0, float(EDGE_LEVEL0), 9))
    drawn = Annotations((Layer("a", (1, 2, 3), (outline,)),), {}, Mpp.square(float(MPP)))
    form.write(path, drawn, Writing())
    text = path.read_text(encoding="utf-8")
    number = OTHERWISE.get(form.name, {}).get(number, number)
    assert number in text
    path.write_text(text.replace(number, wrong.strip('"') if form.xml_root else wrong))
    return path


@pytest.mark.parametrize("form", WRITTEN, ids=lambda form: form.name)
@pytest.mark.parametrize("wrong", [*NO_NUMBERS, "1e300"])
def test_a_place_that_is_none_is_refused_in_one_sentence(tmp_path, form, wrong):
    path = with_wrong(form, tmp_path, EDGE_LEVEL0, wrong)
    with pytest.raises(AnnotationError) as caught:
        form.read(path, Reading())
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "form", [form for form in WRITTEN if Trait.MPP in form.carries], ids=lambda form: form.name
)
@pytest.mark.parametrize("wrong", [*NO_NUMBERS, "-1", "1e9"])
def test_a_scale_that_is_none_is_refused_or_left_out_in_one_sentence(tmp_path, form, wrong):
    path = with_wrong(form, tmp_path, MPP, wrong)
    try:
        read = form.read(path, Reading())
        said, is_told = [*read.remarks], read.mpp is None
    except AnnotationError as error:
        said, is_told = [str(error)], True
    assert is_told
    assert len(said) == 1
    assert "\n" not in said[0]


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
    assert format_to_write(tmp_path / "a.tif").name == "mask"
    assert format_to_write(tmp_path / "a.Instances.tif").name == "instances"
    assert format_to_write(tmp_path / "a.mat").name == "mat"
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
