import json

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.hovernet_json import read_hovernet_json, write_hovernet_json
from deeplab.annotations.formats.table import format_of
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp

CONTOUR = [[10, 20], [10, 24], [15, 24], [15, 20]]
NUCLEUS = {
    "bbox": [[20, 10], [25, 16]],
    "centroid": [12.5, 22],
    "contour": CONTOUR,
    "type_prob": 0.9,
    "type": 2,
}


def write(path, document):
    path.write_text(json.dumps(document))
    return path


def test_points_are_middles_of_pixels_and_mag_tells_the_scale(tmp_path):
    path = write(tmp_path / "a.json", {"mag": 40, "nuc": {"1": NUCLEUS}})
    again = read_hovernet_json(path)
    (shape,) = again.layer("type 2").shapes
    assert shape.polygon.equals(shapely.box(10.5, 20.5, 15.5, 24.5))
    assert shape.properties == {"type_prob": 0.9}
    assert again.mpp == Mpp.square(0.25)
    assert format_of(path).name == "hovernet"


@pytest.mark.parametrize("mag", [1e-320, -40, "x", 1e300])
def test_a_magnification_that_can_be_none_is_left_out_and_said(tmp_path, mag):
    read = read_hovernet_json(write(tmp_path / "a.json", {"mag": mag, "nuc": {"1": NUCLEUS}}))
    assert read.mpp is None
    assert any("which is no scale" in remark for remark in read.remarks)


@pytest.mark.parametrize("document", [{"7": NUCLEUS}, {"mag": None, "nuc": {"7": NUCLEUS}}])
def test_the_older_form_and_one_without_mag_are_read(tmp_path, document):
    again = read_hovernet_json(write(tmp_path / "a.json", document))
    assert (again.names, again.mpp) == (("type 2",), None)


def test_no_nuclei_are_none(tmp_path):
    assert read_hovernet_json(write(tmp_path / "a.json", {"mag": 20, "nuc": {}})).layers == ()


def test_types_are_called_as_the_user_the_file_or_the_file_beside_says(tmp_path):
    path = write(tmp_path / "a.json", {"nuc": {"1": NUCLEUS, "2": NUCLEUS | {"type": None}}})
    write(
        tmp_path / "type_info.json",
        {"0": ["nolabe", [0, 0, 0]], "1": ["neopla", [255, 0, 0]], "2": ["inflam", [0, 255, 0]]},
    )
    beside = read_hovernet_json(path)
    assert [(la.name, len(la.shapes)) for la in beside.layers] == [
        ("neopla", 0),
        ("inflam", 1),
        ("nuclei", 1),
    ]
    assert beside.layer("inflam").colour == (0, 255, 0)
    assert read_hovernet_json(path, Reading(classes=["a", "b"])).names == ("a", "b", "nuclei")
    own = {"type_info": {"2": ["own", [1, 2, 3]]}, "nuc": {"1": NUCLEUS}}
    assert read_hovernet_json(write(path, own)).names == ("own",)


@settings(max_examples=50)
@given(
    st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=3, unique=True),
    st.sampled_from([0.25, 0.5, 0.2527]),
    st.integers(0, 10**5),
)
def test_names_colours_scale_and_outlines_are_read_again(tmp_path_factory, names, mpp, x):
    path = tmp_path_factory.mktemp("hovernet") / "a.json"
    outline = shapely.Polygon([(x, 0.25), (x + 7, 3), (x + 2, 9.5)])
    layers = tuple(
        Layer(name, (place, 2, 3), (Shape(outline, {"type_prob": 0.5}),))
        for place, name in enumerate(names)
    )
    write_hovernet_json(path, Annotations(layers, mpp=Mpp.square(mpp)))
    again = read_hovernet_json(path)
    assert [(la.name, la.colour) for la in again.layers] == [(la.name, la.colour) for la in layers]
    assert again.mpp.x == pytest.approx(mpp)
    assert all(
        s.polygon.equals(outline) and s.properties == {"type_prob": 0.5}
        for la in again.layers
        for s in la.shapes
    )
    assert format_of(path).name == "hovernet"


def test_what_is_written_is_what_hovernet_writes(tmp_path):
    square = shapely.box(10.5, 20.5, 15.5, 24.5)
    write_hovernet_json(
        tmp_path / "a.json",
        Annotations((Layer("a", (1, 2, 3), (Shape(square),)),), mpp=Mpp.square(0.25)),
    )
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["mag"] == 40
    nucleus = found["nuc"]["1"]
    assert sorted(map(tuple, nucleus["contour"])) == sorted(map(tuple, CONTOUR))
    assert (nucleus["bbox"], nucleus["centroid"]) == (NUCLEUS["bbox"], NUCLEUS["centroid"])
    assert (nucleus["type"], nucleus["type_prob"]) == (1, None)


@pytest.mark.parametrize(
    ("square", "bbox"),
    [
        (shapely.box(10, 20, 16, 25), [[20, 10], [25, 16]]),  # along the edges of pixels
        (shapely.box(10.5, 20.5, 15.5, 24.5), [[20, 10], [25, 16]]),  # through their middles
        (shapely.box(10.6, 20.6, 10.9, 20.9), [[20, 10], [21, 11]]),  # within a pixel
    ],
)
def test_a_bounding_box_is_of_the_pixels_of_a_nucleus(tmp_path, square, bbox):
    drawn = Annotations((Layer("a", (1, 2, 3), (Shape(square),)),))
    write_hovernet_json(tmp_path / "a.json", drawn)
    assert json.loads((tmp_path / "a.json").read_text())["nuc"]["1"]["bbox"] == bbox


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"nuc": {"1": {"type": 1}}}, "nucleus 1 has no contour"),
        ({"nuc": {"1": NUCLEUS | {"type": "x"}}}, "type of nucleus 1 is 'x'"),
        ({"nuc": {"1": NUCLEUS | {"contour": [[1], [2], [3]]}}}, "not a list of points"),
        ({"nuc": {"1": NUCLEUS | {"contour": [[1, 2], [2, 1e99], [3, 4]]}}}, "not on a slide"),
        ([1, 2], "holds no nuclei"),
    ],
)
def test_bad_nuclei_are_refused_in_a_sentence(tmp_path, document, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        read_hovernet_json(write(tmp_path / "a.json", document))


def test_a_type_that_is_not_told_is_said_and_called_by_its_number(tmp_path):
    document = {"nuc": {"1": NUCLEUS}, "type_info": {"1": "a", "9" * 5000: ["b", [1, 2, 3]]}}
    read = read_hovernet_json(write(tmp_path / "a.json", document))
    assert read.names == ("type 2",)
    said = 'a.json does not tell of type 1 as "1": ["name", [red, green, blue]]'
    assert read.remarks[0] == said
    assert len(read.remarks) == 2
