from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import shapely
from hypothesis import assume, given, settings
from lxml import etree

from deeplab.annotations.formats.asap_xml import read_asap_xml, write_asap_xml
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.errors import AnnotationError
from tests.annotations.xml_cases import annotations, assert_same_layers

SQUARE = [(0, 0), (40, 0), (40, 40), (0, 40)]
HOLE = [(10, 10), (20, 10), (20, 20), (10, 20)]


def annotation(points, group="a", kind="Polygon", name="Annotation 0", colour="#102030"):
    inside = "".join(
        f'<Coordinate Order="{order}" X="{x}" Y="{y}"/>' for order, (x, y) in enumerate(points)
    )
    return (
        f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}" Color="{colour}">'
        f"<Coordinates>{inside}</Coordinates></Annotation>"
    )


def group(name, part_of="None", colour="#64FE2E"):
    return f'<Group Name="{name}" PartOfGroup="{part_of}" Color="{colour}"><Attributes/></Group>'


def read(tmp_path, inside, groups=""):
    path = tmp_path / "a.xml"
    path.write_text(
        f"<ASAP_Annotations><Annotations>{inside}</Annotations>"
        f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
    )
    return read_asap_xml(path)


@given(annotations())
@settings(max_examples=60)
def test_any_annotations_survive_a_round_trip(drawn):
    assume("None" not in drawn.names)
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.xml")
        write_asap_xml(path, drawn)
        again = read_asap_xml(path)
    assert_same_layers(again, replace(drawn, mpp=None))
    assert again.remarks == ()


@pytest.mark.parametrize("name", ["", " blank ", "a\x00", "a (holes)"])
def test_holes_are_found_again_whatever_the_layer_is_called(tmp_path, name):
    layer = Layer(name, (1, 2, 3), (Shape(shapely.Polygon(SQUARE, [HOLE])),))
    write_asap_xml(tmp_path / "a.xml", Annotations((layer,)))
    (again,) = read_asap_xml(tmp_path / "a.xml").layers
    assert again.name == (name.replace("\x00", " ").strip() or "unclassified")
    assert [shape.polygon.area for shape in again.shapes] == [1500]


def test_layers_keep_their_order_and_stay_when_empty(tmp_path):
    layers = (Layer("z", (1, 2, 3), ()), Layer("a", (4, 5, 6), (), "first seen"))
    write_asap_xml(tmp_path / "a.xml", Annotations(layers))
    assert read_asap_xml(tmp_path / "a.xml").layers == layers


def test_what_is_written_is_what_asap_reads(tmp_path):
    ring = shapely.Polygon(SQUARE, [HOLE])
    layers = (Layer("tumour", (255, 128, 1), (Shape(ring, {"text": "sure"}),)),)
    write_asap_xml(tmp_path / "a.xml", Annotations(layers))
    root = etree.parse(tmp_path / "a.xml").getroot()
    outside, hole = root.iterfind("Annotations/Annotation")
    assert dict(outside.attrib) == {
        "Name": "sure",
        "Type": "Polygon",
        "PartOfGroup": "tumour",
        "Color": "#ff8001",
    }
    assert (hole.get("Name"), hole.get("PartOfGroup")) == ("hole of sure", "tumour (holes)")
    assert [c.get("Order") for c in hole.iterfind("Coordinates/Coordinate")] == list("0123")
    # ASAP refuses a file that uses a group which it does not list.
    assert [dict(each.attrib) for each in root.iterfind("AnnotationGroups/Group")] == [
        {"Name": "tumour", "PartOfGroup": "None", "Color": "#ff8001"},
        {"Name": "tumour (holes)", "PartOfGroup": "tumour", "Color": "#ff8001"},
    ]


def test_a_layer_called_as_a_group_of_holes_stays_a_layer(tmp_path):
    ring = shapely.Polygon(SQUARE, [HOLE])
    layers = (
        Layer("a", (1, 2, 3), (Shape(ring),)),
        Layer("a (holes)", (4, 5, 6), (Shape(shapely.Polygon(HOLE)),)),
    )
    write_asap_xml(tmp_path / "a.xml", Annotations(layers))
    assert_same_layers(read_asap_xml(tmp_path / "a.xml"), Annotations(layers))


@pytest.mark.parametrize(("kind", "area"), [("Polygon", 1600), ("Rectangle", 1600)])
def test_outlines_are_read_in_the_order_that_they_state(tmp_path, kind, area):
    shuffled = annotation(SQUARE, kind=kind)
    inside = shuffled.replace('Order="1"', 'Order="2"', 1)
    inside = inside.replace('Order="2" X="40" Y="40"', 'Order="1" X="40" Y="40"')
    in_order = read(tmp_path, shuffled).layer("a").shapes
    crossed = read(tmp_path, inside).layer("a").shapes
    assert [shape.polygon.area for shape in in_order] == [area]
    assert sum(shape.polygon.area for shape in crossed) == area / 2


def test_a_rectangle_may_be_given_by_two_corners(tmp_path):
    (shape,) = read(tmp_path, annotation([(1, 2), (7, 9)], kind="Rectangle")).layer("a").shapes
    assert shape.polygon.equals(shapely.box(1, 2, 7, 9))


def test_a_spline_is_a_closed_curve_through_its_points(tmp_path):
    circle = shapely.Point(50, 50).buffer(40, quad_segs=4).exterior.coords[:-1]
    (shape,) = read(tmp_path, annotation(circle, kind="Spline")).layer("a").shapes
    assert shape.polygon.area == pytest.approx(3.14159 * 1600, rel=0.005)
    assert shape.polygon.area > shapely.Polygon(circle).area * 1.02
    assert all(shape.polygon.exterior.distance(shapely.Point(p)) < 1e-9 for p in circle)


def test_dots_point_sets_and_measurements_are_marks(tmp_path):
    inside = (
        annotation([(1, 2)], kind="Dot", name="mitosis")
        + annotation([(3, 4), (5, 6)], kind="PointSet")
        + annotation([(0, 0), (3, 4)], kind="Measurement")
        + annotation([(7, 8)], kind="Polygon")
    )
    (layer,) = read(tmp_path, inside).layers
    assert layer.shapes == ()
    assert [(mark.geometry.wkt, mark.properties) for mark in layer.marks] == [
        ("POINT (1 2)", {"text": "mitosis"}),
        ("POINT (3 4)", {}),
        ("POINT (5 6)", {}),
        ("LINESTRING (0 0, 3 4)", {}),
        ("POINT (7 8)", {}),
    ]


def test_a_line_is_written_as_a_measurement_for_each_step(tmp_path):
    line = shapely.LineString([(0, 0), (3, 4), (3, 8)])
    write_asap_xml(tmp_path / "a.xml", Annotations((Layer("a", (1, 2, 3), (), "", (Mark(line),)),)))
    marks = read_asap_xml(tmp_path / "a.xml").layer("a").marks
    assert [mark.geometry.length for mark in marks] == [5, 4]


def test_groups_are_layers_in_their_order_with_their_colours(tmp_path):
    found = read(
        tmp_path,
        annotation(SQUARE, "loose") + annotation(SQUARE, "None") + annotation(SQUARE, "b"),
        group("empty") + group("b", colour="#000001") + group("inner", "b", colour="nonsense"),
    )
    assert found.names == ("empty", "b", "inner", "loose", "unclassified")
    assert found.layer("b").colour == (0, 0, 1)
    assert found.layer("loose").colour == (0x10, 0x20, 0x30)
    assert len(found.layer("empty").shapes) == len(found.layer("inner").shapes) == 0


@pytest.mark.parametrize(("outer", "inner"), [("_0", "_2"), ("metastases", "normal")])
def test_the_groups_of_camelyon_that_are_not_tumour_are_cut_out_of_it(tmp_path, outer, inner):
    found = read(
        tmp_path, annotation(HOLE, inner) + annotation(SQUARE, outer), group(outer) + group(inner)
    )
    assert [shape.polygon.area for shape in found.layer(outer).shapes] == [1500]
    assert [shape.polygon.area for shape in found.layer(inner).shapes] == [100]


def test_what_can_be_no_shape_is_said(tmp_path):
    inside = (
        annotation(SQUARE, kind="None")
        + annotation([])
        + annotation(SQUARE)
        + annotation([(90, 90), (95, 90), (95, 95)], "a (holes)")
    )
    found = read(tmp_path, inside, group("a") + group("a (holes)", "a"))
    assert found.names == ("a",)
    assert len(found.layer("a").shapes) == 1
    said = " ".join(found.remarks)
    assert "1 left out: annotation 'None'" in said
    assert "1 left out: annotation without coordinates" in said
    assert "1 left out: hole outside of all shapes" in said


def test_missing_groups_orders_and_colours_are_no_matter(tmp_path):
    path = tmp_path / "a.xml"
    corners = "".join(f'<Coordinate X="{x}" Y="{y}"/>' for x, y in SQUARE)
    path.write_text(
        '<ASAP_Annotations><Annotations><Annotation Type="Polygon">'
        f"<Coordinates>{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )
    (layer,) = read_asap_xml(path).layers
    assert (layer.name, [shape.polygon.area for shape in layer.shapes]) == ("unclassified", [1600])


def test_what_has_no_type_is_a_polygon_and_decimals_may_have_a_comma(tmp_path):
    corners = [("0,5", 0), (10, 0), (10, "10,5"), ("0,5", "10,5")]
    bare = annotation(corners).replace('Type="Polygon"', "")
    (shape,) = read(tmp_path, bare).layer("a").shapes
    assert shape.polygon.bounds == (0.5, 0, 10, 10.5)


@pytest.mark.parametrize(
    ("x", "sentence"), [("abc", "not a number"), ("inf", "not on a slide"), ("nan", "not on a")]
)
def test_places_off_any_slide_are_refused(tmp_path, x, sentence):
    with pytest.raises(AnnotationError, match=f"annotation 1 .*{sentence}"):
        read(tmp_path, annotation([(x, 0), (1, 1), (2, 0)]))


def test_another_root_is_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<Annotations/>")
    with pytest.raises(AnnotationError, match="is not an ASAP file: it begins with <Annotations>"):
        read_asap_xml(tmp_path / "a.xml")


def test_shapes_may_lie_on_disk(tmp_path):
    layers = (Layer("a", (1, 2, 3), (Shape(shapely.Polygon(SQUARE)),)),)
    write_asap_xml(tmp_path / "a.xml", Annotations(layers))
    (tmp_path / "spill").mkdir()
    found = read_asap_xml(tmp_path / "a.xml", Reading(spill=tmp_path / "spill"))
    assert_same_layers(found, Annotations(layers))
    assert any((tmp_path / "spill").iterdir())
