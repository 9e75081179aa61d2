import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from deeplab.annotations.formats.aperio_xml import read_aperio_xml, write_aperio_xml
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp
from tests.annotations.xml_cases import annotations, assert_same_layers, values, words

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
    for name, kept in (("a & <b> \"c\" 'd'", None), ("a\x00b\nc", "a b\nc"), ("\ud800x", "?x")):
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
    assert (hole.get("NegativeROA"), hole.get("Id"), hole.get("InputRegionId")) == ("1", "2", "1")
    assert len(hole.findall("Vertices/Vertex")) == 4


def test_excluded_regions_are_cut_out_of_the_shapes_they_meet(tmp_path):
    regions = (
        region(BOX, NegativeROA="0")
        + region([(2, 2), (4, 2), (4, 4), (2, 4)], NegativeROA="1")
        + region([(9, 0), (20, 0), (20, 10), (9, 10)], NegativeROA="1")
        + region([(90, 90), (95, 90), (95, 95)], NegativeROA="1")
    )
    found = read(tmp_path, regions)
    (shape,) = found.layer("a").shapes
    assert shape.polygon.equals(shapely.box(0, 0, 9, 10) - shapely.box(2, 2, 4, 4))
    assert "1 left out: excluded region outside of all others" in found.remarks


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ({"InputRegionId": 7}, [1600, 1500]),  # as a file written here has it
        ({"InputRegionId": 0}, [1500, 1500]),
        ({"InputRegionId": 3}, [1500, 1500]),  # the region of an analysis, not of this layer
        ({}, [1500, 1500]),
    ],
)
def test_only_a_hole_of_the_region_before_is_cut_out_of_that_alone(tmp_path, own, left):
    square = [(0, 0), (40, 0), (40, 40), (0, 40)]
    regions = (
        region(square, Id=1, InputRegionId=0)
        + region(square, Id=7, InputRegionId=0)
        + region([(10, 10), (20, 10), (20, 20), (10, 20)], NegativeROA=1, Id=8, **own)
    )
    shapes = read(tmp_path, regions).layer("a").shapes
    assert [shape.polygon.area for shape in shapes] == left


def test_rectangles_and_ellipses_are_read_from_their_corners(tmp_path):
    regions = (
        region([(1, 2), (7, 9)], Type="1")
        + region(BOX, Type="1")
        + region([(0, 0), (200, 100)], Type="2")
    )
    first, second, oval = read(tmp_path, regions).layer("a").shapes
    assert first.polygon.equals(shapely.box(1, 2, 7, 9))
    assert second.polygon.area == 100
    assert oval.polygon.area == pytest.approx(math.pi * 100 * 50, rel=0.01)
    assert oval.polygon.centroid.coords[0] == pytest.approx((100, 50))


@pytest.mark.parametrize(("annotation", "name"), [('Name="a"', "a"), ('Name=" "', "b"), ("", "b")])
def test_a_layer_is_named_by_the_annotation_or_its_attribute(tmp_path, annotation, name):
    assert read(tmp_path, region(BOX), annotation).names == (name,)


def test_colours_are_stored_blue_first(tmp_path):
    assert read(tmp_path, "", f'LineColor="{0x102030}"').layers[0].colour == (0x30, 0x20, 0x10)


def test_another_root_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<html/>")
    with pytest.raises(AnnotationError, match="is not an ImageScope file: it begins with <html>"):
        read_aperio_xml(tmp_path / "a.xml")


@pytest.mark.parametrize(
    ("x", "sentence"), [("abc", "not a number"), ("nan", "not on a slide"), ("1e12", "not on a")]
)
def test_vertices_off_any_slide_are_refused(tmp_path, x, sentence):
    with pytest.raises(AnnotationError, match=f"region 1 of 'a' .*{sentence}"):
        read(tmp_path, region([(x, 0), (1, 1), (2, 0)]))


def test_a_vertex_without_a_coordinate_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="region 1 of 'a' has a vertex without X or Y"):
        read(tmp_path, '<Region><Vertices><Vertex X="1"/></Vertices></Region>')


@given(annotations())
@settings(max_examples=60)
def test_any_annotations_survive_a_round_trip(drawn):
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.xml")
        write_aperio_xml(path, drawn)
        again = read_aperio_xml(path)
    assert_same_layers(again, drawn)
    assert again.mpp == drawn.mpp
    assert again.remarks == ()


@given(st.dictionaries(words.filter(lambda name: name != "text"), values | words, max_size=4))
@settings(max_examples=60)
def test_numbers_and_words_of_shapes_and_marks_survive(properties):
    layer = Layer(
        "a", (1, 2, 3), (Shape(RING, properties),), "", (Mark(shapely.Point(1, 2), properties),)
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.xml")
        write_aperio_xml(path, Annotations((layer,)))
        (again,) = read_aperio_xml(path).layers
    # The file holds no types: what looks like a number becomes one.
    texts = {name: str(value) for name, value in properties.items()}
    for each in (*again.shapes, *again.marks):
        assert {name: str(value) for name, value in each.properties.items()} == texts
        assert all(
            type(each.properties[name]) is type(value)
            for name, value in properties.items()
            if not isinstance(value, str)
        )


def test_lines_points_and_outlines_of_too_few_vertices_become_marks(tmp_path):
    line = [(0, 0), (5, 5), (9, 5)]
    regions = (
        region([(1, 1), (2, 2)], Type="3", Text="here")
        + region(line, Type="4")
        + region([(7, 8), (9, 10)], Type="5")
        + region([(3, 4)], Type="0")
        + region([(3, 4), (5, 6)], Type="0")
    )
    (layer,) = read(tmp_path, regions).layers
    assert layer.shapes == ()
    arrow, ruler, *rest = layer.marks
    assert (arrow.geometry.length, arrow.properties) == (math.sqrt(2), {"text": "here"})
    assert ruler.geometry.equals(shapely.LineString(line))
    assert [mark.geometry.wkt for mark in rest] == [
        "POINT (7 8)",
        "POINT (9 10)",
        "POINT (3 4)",
        "LINESTRING (3 4, 5 6)",
    ]


def test_what_can_be_no_shape_is_counted_not_lost_silently(tmp_path):
    regions = (
        region([], Type="0")
        + region(BOX, Type="9")
        + region([(1, 1)], NegativeROA="1")
        + region(BOX)
    )
    found = read(tmp_path, regions)
    assert len(found.layer("a").shapes) == 1
    said = " ".join(found.remarks)
    assert "1 left out: region without vertices" in said
    assert "1 left out: region of type 9" in said
    assert "1 left out: excluded region without area" in said


def test_areas_and_lengths_in_um_are_right_for_pixels_that_are_not_square(tmp_path):
    layer = Layer(
        "a",
        (0, 0, 0),
        (),
        "",
        (Mark(shapely.LineString([(0, 0), (30, 80)])), Mark(shapely.Point(1, 2))),
    )
    write_aperio_xml(tmp_path / "a.xml", Annotations((layer,), mpp=Mpp(1.0, 0.5)))
    line, point = etree.parse(tmp_path / "a.xml").iterfind("Annotation/Regions/Region")
    assert (line.get("Type"), line.get("Length"), line.get("LengthMicrons")) == (
        "4",
        "85.44",
        "50.00",
    )
    assert (line.get("Area"), line.get("AreaMicrons")) == ("0.00", "0.00")
    assert (point.get("Type"), point.get("Length")) == ("5", "0.00")


def test_what_imagescope_calls_description_is_the_layers_description(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        "<Annotations><Annotation Name=''><Regions/><Attributes>"
        "<Attribute Name='Description' Id='0' Value='left kidney'/>"
        "<Attribute Name='Glomerulus' Value=''/><Attribute Name='Stain' Value='PAS'/>"
        "</Attributes></Annotation><Annotation/><Region/></Annotations>"
    )
    first, second = read_aperio_xml(path).layers
    assert (first.name, first.description) == ("Glomerulus", "left kidney; Stain: PAS")
    assert (second.name, len(second.shapes)) == ("layer 2", 0)


@pytest.mark.parametrize(
    ("name", "called"), [("", "Foll"), ("Layer 14", "Foll"), ("Layer 2", "Layer 2")]
)
def test_a_layer_that_nobody_named_is_called_after_its_description(tmp_path, name, called):
    # So eSlide Manager hands out what was drawn in ImageScope.
    path = tmp_path / "a.xml"
    path.write_text(
        f"<Annotations><Annotation Id='14' Type='4' Name='{name}'><ImageId>1</ImageId><Attributes>"
        "<Attribute Id='3' Name='Description' Value='Foll'><GlobalId>e4</GlobalId></Attribute>"
        "</Attributes><Regions/></Annotation></Annotations>"
    )
    (layer,) = read_aperio_xml(path).layers
    assert (layer.name, layer.description) == (called, "" if called == "Foll" else "Foll")


@pytest.mark.parametrize("name", ["Layer 1", "Description"])
@pytest.mark.parametrize("description", ["said of it", "Layer 1", ""])
def test_names_that_are_imagescopes_own_words_survive_a_round_trip(tmp_path, name, description):
    drawn = Annotations((Layer(name, (1, 2, 3), (), description),))
    write_aperio_xml(tmp_path / "a.xml", drawn)
    (layer,) = read_aperio_xml(tmp_path / "a.xml").layers
    assert (layer.name, layer.description) == (name, description)


def test_halo_says_types_in_words_and_calls_vertices_v(tmp_path):
    def of(kind, points, hole=0):
        inner = "".join(f'<V X="{x}" Y="{y}"/>' for x, y in points)
        return f'<Region Type="{kind}" HasEndcaps="0" NegativeROA="{hole}"><Vertices>{inner}</Vertices></Region>'

    regions = of("Polygon", BOX) + of("Rectangle", [(2, 2), (4, 6)], hole=1)
    regions += of("Ellipse", [(100, 0), (120, 40)]) + of("Ruler", [(0, 0), (9, 9)])
    found = read(tmp_path, regions).layer("a")
    first, oval = found.shapes
    assert first.polygon.area == 100 - 8
    assert oval.polygon.area == pytest.approx(math.pi * 10 * 20, rel=0.02)
    (ruler,) = found.marks
    assert ruler.geometry.length == pytest.approx(math.hypot(9, 9))


def test_decimal_commas_of_other_countries_are_read(tmp_path):
    path = tmp_path / "a.xml"
    inner = region([("0,5", "0"), ("10,5", "0"), ("10,5", "10,25")])
    path.write_text(
        f"<Annotations MicronsPerPixel='0,2520'><Annotation Name='a'><Regions>{inner}</Regions>"
        "</Annotation></Annotations>"
    )
    found = read_aperio_xml(path)
    assert found.mpp == Mpp.square(0.252)
    assert found.layer("a").shapes[0].polygon.bounds == (0.5, 0, 10.5, 10.25)


def test_region_attributes_are_called_by_their_header(tmp_path):
    path = tmp_path / "a.xml"
    inner = "<Attributes><Attribute Name='1' Id='0' Value='cortex'/></Attributes>"
    path.write_text(
        "<Annotations><Annotation Name='a'><Regions><RegionAttributeHeaders>"
        "<AttributeHeader Id='1' Name='Description' ColumnWidth='-1'/></RegionAttributeHeaders>"
        f"<Region>{inner}<Vertices>{vertices(BOX)}</Vertices></Region></Regions></Annotation></Annotations>"
    )
    (shape,) = read_aperio_xml(path).layer("a").shapes
    assert shape.properties == {"Description": "cortex"}


def test_a_number_that_is_too_large_for_one_stays_a_word(tmp_path):
    path = tmp_path / "a.xml"
    write_aperio_xml(path, Annotations((Layer("a", (1, 2, 3), (Shape(RING, {"id": "9" * 400}),)),)))
    (shape,) = read_aperio_xml(path).layer("a").shapes
    assert shape.properties == {"id": "9" * 400}


@pytest.mark.parametrize("scale", ["", "0", "0.000000"])
def test_a_scale_that_is_not_known_is_none(tmp_path, scale):
    (tmp_path / "a.xml").write_text(f"<Annotations MicronsPerPixel='{scale}'/>")
    found = read_aperio_xml(tmp_path / "a.xml")
    assert (found.mpp, found.remarks) == (None, ())


@pytest.mark.parametrize("scale", ["nan", "-1", "1e9", "0,2,5"])
def test_a_scale_that_cannot_be_is_left_out_and_said(tmp_path, scale):
    (tmp_path / "a.xml").write_text(f"<Annotations MicronsPerPixel='{scale}'/>")
    found = read_aperio_xml(tmp_path / "a.xml")
    assert found.mpp is None
    assert found.remarks == (f"MicronsPerPixel is {scale!r}, which is no scale and was left out",)


def test_shapes_may_lie_on_disk(tmp_path):
    write_aperio_xml(tmp_path / "a.xml", ANNOTATIONS)
    (tmp_path / "spill").mkdir()
    found = read_aperio_xml(tmp_path / "a.xml", Reading(spill=tmp_path / "spill"))
    assert_same_layers(found, ANNOTATIONS)
    assert any((tmp_path / "spill").iterdir())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    folder = tmp_path / "spill"
    folder.mkdir()
    peaks = []
    circle = shapely.Point(50, 50).buffer(40, quad_segs=16)
    for count in (2_000, 20_000):
        path = tmp_path / f"{count}.xml"
        write_aperio_xml(path, Annotations((Layer("a", (1, 2, 3), (Shape(circle),) * count),)))
        # The parser's memory is not Python's: what the whole process takes is looked at.
        script = (
            "from pathlib import Path\n"
            "from deeplab.annotations.formats.aperio_xml import read_aperio_xml\n"
            "from deeplab.annotations.formats.format import Reading\n"
            f"found = read_aperio_xml(Path({str(path)!r}), Reading(spill=Path({str(folder)!r})))\n"
            f"assert found.shape_count == {count}\n"
            "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) >> 10)
    assert path.stat().st_size > 40 << 20
    assert peaks[1] - peaks[0] < 15  # MiB


@pytest.mark.parametrize(
    ("content", "tag"),
    [
        ("<regions><region><vertices/></region></regions>", "regions"),
        ("<Regions><region/></Regions>", "region"),
        ("<Attributes/><Shape/><Regions/>", "Shape"),
    ],
)
def test_what_stands_in_the_place_of_regions_is_said(tmp_path, content, tag):
    path = tmp_path / "a.xml"
    path.write_text(f'<Annotations><Annotation Name="a">{content}</Annotation></Annotations>')
    remark = f"1 left out: element <{tag}>, which ImageScope does not write"
    assert read_aperio_xml(path).remarks == (remark,)


def test_an_empty_layer_says_nothing(tmp_path):
    write_aperio_xml(tmp_path / "a.xml", ANNOTATIONS)
    assert read_aperio_xml(tmp_path / "a.xml").remarks == ()
