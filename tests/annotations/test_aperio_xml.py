import math
from dataclasses import replace

import pytest
import shapely
from lxml import etree

from deeplab.annotations.aperio_xml import read_aperio_xml, write_aperio_xml
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp

RING = shapely.box(0, 0, 20, 20) - shapely.box(5, 5, 8.12, 8)
ANNOTATIONS = Annotations(
    (
        Layer("tumeur é", (255, 128, 1), (Shape(RING, {"text": "sure"}),)),
        Layer("ignore", (0, 0, 0), ()),
    )
)


def vertices(points):
    return "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in points)


def region(points, **attributes):
    more = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f"<Region {more}><Vertices>{vertices(points)}</Vertices></Region>"


def read(tmp_path, regions, annotation='Name="a" LineColor="255"'):
    path = tmp_path / "a.xml"
    path.write_text(
        f"<Annotations><Annotation {annotation}><Attributes><Attribute Name='b'/></Attributes>"
        f"<Regions>{regions}</Regions></Annotation></Annotations>"
    )
    return read_aperio_xml(path)


BOX = [(0, 0), (10, 0), (10, 10), (0, 10)]


def test_what_is_written_is_read_again(tmp_path):
    write_aperio_xml(tmp_path / "a.xml", replace(ANNOTATIONS, mpp=Mpp.square(0.25)))
    again = read_aperio_xml(tmp_path / "a.xml")
    assert again.mpp == Mpp.square(0.25)
    assert [(la.name, la.colour) for la in again.layers] == [
        ("tumeur é", (255, 128, 1)),
        ("ignore", (0, 0, 0)),
    ]
    (shape,) = again.layers[0].shapes
    assert shape.polygon.equals(RING)
    assert shape.properties == {"text": "sure"}


def test_any_layer_name_survives_or_loses_only_what_xml_cannot_hold(tmp_path):
    for name, kept in (("a & <b> \"c\" 'd'", None), ("a\x00b\nc", "a b c"), ("\ud800x", "?x")):
        layers = (Layer(name, (0, 0, 0), ()),)
        write_aperio_xml(tmp_path / "a.xml", Annotations(layers))
        assert read_aperio_xml(tmp_path / "a.xml").names == (kept or name,)


def test_every_attribute_of_imagescope_is_written_with_areas_in_um2(tmp_path):
    write_aperio_xml(tmp_path / "a.xml", replace(ANNOTATIONS, mpp=Mpp(0.5, 0.25)))
    root = etree.parse(tmp_path / "a.xml").getroot()
    annotation = root.find("Annotation")
    assert annotation.attrib == {
        "Id": "1",
        "Name": "tumeur é",
        "ReadOnly": "0",
        "NameReadOnly": "0",
        "LineColorReadOnly": "0",
        "Incremental": "0",
        "Type": "4",
        "LineColor": str(0x0180FF),
        "Visible": "1",
        "Selected": "0",
        "MarkupImagePath": "",
        "MacroName": "",
    }
    headers = annotation.findall("Regions/RegionAttributeHeaders/AttributeHeader")
    assert [h.get("Id") for h in headers] == ["9999", "9997", "9996", "9998", "1"]
    outside, hole = annotation.findall("Regions/Region")
    assert dict(outside.attrib) == {
        "Id": "1",
        "Type": "0",
        "Zoom": "1",
        "Selected": "0",
        "ImageLocation": "",
        "ImageFocus": "-1",
        "Length": "80.00",
        "Area": "400.00",
        "LengthMicrons": "30.00",
        "AreaMicrons": "50.00",
        "Text": "sure",
        "NegativeROA": "0",
        "InputRegionId": "0",
        "Analyze": "1",
        "DisplayId": "1",
    }
    assert (hole.get("NegativeROA"), hole.get("Id")) == ("1", "2")
    assert len(hole.findall("Vertices/Vertex")) == 4


def test_excluded_regions_are_cut_out_of_the_shapes_they_meet(tmp_path, caplog):
    regions = (
        region(BOX, NegativeROA="0")
        + region([(2, 2), (4, 2), (4, 4), (2, 4)], NegativeROA="1")
        + region([(9, 0), (20, 0), (20, 10), (9, 10)], NegativeROA="1")
        + region([(90, 90), (95, 90), (95, 95)], NegativeROA="1")
    )
    (shape,) = read(tmp_path, regions).layer("a").shapes
    assert shape.polygon.equals(shapely.box(0, 0, 9, 10) - shapely.box(2, 2, 4, 4))
    assert "1 of type excluded region outside of all others" in caplog.text


def test_rectangles_and_ellipses_are_read_from_their_corners(tmp_path, caplog):
    regions = (
        region([(1, 2), (7, 9)], Type="1")
        + region(BOX, Type="1")
        + region([(0, 0), (200, 100)], Type="2")
        + region([(0, 0), (200, 100)], Type="4")
        + region([(0, 0), (200, 100)], Type="0")
    )
    first, second, oval = read(tmp_path, regions).layer("a").shapes
    assert first.polygon.equals(shapely.box(1, 2, 7, 9))
    assert second.polygon.area == 100
    assert oval.polygon.area == pytest.approx(math.pi * 100 * 50, rel=0.01)
    assert oval.polygon.centroid.coords[0] == pytest.approx((100, 50))
    assert "1 of type ruler or line" in caplog.text
    assert "1 of type region of too few vertices" in caplog.text


@pytest.mark.parametrize(("annotation", "name"), [('Name="a"', "a"), ('Name=" "', "b"), ("", "b")])
def test_a_layer_is_named_by_the_annotation_or_its_attribute(tmp_path, annotation, name):
    assert read(tmp_path, region(BOX), annotation).names == (name,)


def test_colours_are_stored_blue_first(tmp_path):
    assert read(tmp_path, "", f'LineColor="{0x102030}"').layers[0].colour == (0x30, 0x20, 0x10)


BOMB = (
    '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + ']><Annotations MicronsPerPixel="&i;"/>'
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("{}", "is not XML"),
        ("<Annotations>", "is not XML"),
        ("<html/>", "begins with <html>"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Annotations/>', "entities"),
        ('<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><Annotations/>', "entities"),
        (BOMB, "entities|is not XML"),
    ],
)
def test_other_xml_and_entities_are_refused_in_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=sentence) as caught:
        read_aperio_xml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "sentence"), [("abc", "not a number"), ("nan", "not on a slide"), ("1e12", "not on a")]
)
def test_vertices_off_any_slide_are_refused(tmp_path, x, sentence):
    with pytest.raises(AnnotationError, match=f"region 1 of 'a' .*{sentence}"):
        read(tmp_path, region([(x, 0), (1, 1), (2, 0)]))


def test_a_vertex_without_a_coordinate_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="region 1 of 'a' has a vertex without X or Y"):
        read(tmp_path, '<Region><Vertices><Vertex X="1"/></Vertices></Region>')
