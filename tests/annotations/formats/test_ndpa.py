"""NDP.view counts in nanometres from the middle of the glass; here are its slide's pixels."""

import pytest

from deeplab.annotations.files import read_annotations, read_file
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.glass import Glass
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp
from tests.annotations.ndpi import HEIGHT, MPP, OFFSET_NM, WIDTH, write_ndpi_head


def nm(x, y):
    """Nanometres of a pixel."""
    pixel = (x - WIDTH / 2, y - HEIGHT / 2)
    return [round(p * m * 1000 + o) for p, m, o in zip(pixel, MPP, OFFSET_NM, strict=True)]


def points(*pixels):
    inner = "".join("<point><x>{}</x><y>{}</y></point>".format(*nm(*each)) for each in pixels)
    return f"<pointlist>{inner}</pointlist>"


def drawing(annotation, title="tumour", details=""):
    return (
        f'<ndpviewstate id="1"><title>{title}</title><details>{details}</details>'
        f"<coordformat>nanometers</coordformat>{annotation}</ndpviewstate>"
    )


def freehand(*pixels, closed=1):
    return (
        f'<annotation type="freehand" color="#ff0010"><closed>{closed}</closed>'
        f"{points(*pixels)}</annotation>"
    )


SQUARE = freehand((10, 20), (110, 20), (110, 60), (10, 60))
PIN = '<annotation type="pin"><x>{}</x><y>{}</y></annotation>'.format(*nm(7, 9))
CIRCLE = '<annotation type="circle"><x>{}</x><y>{}</y><radius>10000</radius></annotation>'
RULER = '<annotation type="linearmeasure"><x1>{}</x1><y1>{}</y1><x2>{}</x2><y2>{}</y2></annotation>'


def write(path, *drawings):
    path.write_text(f'<?xml version="1.0"?><annotations>{"".join(drawings)}</annotations>')
    return path


@pytest.mark.parametrize(
    ("slide_name", "name"),
    [("a.ndpi", "a.ndpi.ndpa"), ("a.ndpi", "a.ndpa"), ("a.NDPI", "a.NDPI.ndpa")],
)
def test_drawings_are_where_they_were_drawn_on_the_slide_beside(tmp_path, slide_name, name):
    write_ndpi_head(tmp_path / slide_name)
    round_ = CIRCLE.format(*nm(100, 100))
    path = write(
        tmp_path / name,
        drawing(SQUARE, details="sure"),
        drawing(round_, "vessel"),
        drawing(PIN),
        drawing(RULER.format(*nm(1, 2), *nm(3, 4)), ""),
        drawing(freehand((1, 1), (9, 9), (1, 9), closed=0)),
        drawing('<annotation type="cloud"/>'),
    )
    read = read_file(path)
    found = read.annotations
    assert read.format.title == "NDP.view"
    assert found.names == ("tumour", "vessel", "unclassified")
    assert (found.mpp.x, found.mpp.y) == pytest.approx(MPP)
    tumour = found.layer("tumour")
    assert tumour.colour == (255, 0, 16)
    assert tumour.shapes[0].polygon.bounds == pytest.approx((10, 20, 110, 60), abs=0.01)
    assert tumour.shapes[0].properties == {"text": "sure"}
    assert [mark.geometry.geom_type for mark in tumour.marks] == ["Point", "LineString"]
    assert tumour.marks[0].geometry.coords[0] == pytest.approx((7, 9), abs=0.01)
    bounds = found.layer("vessel").shapes[0].polygon.bounds
    assert bounds == pytest.approx((80, 60, 120, 140), abs=0.5)  # 10 um either way
    assert found.remarks == ("1 left out: annotation 'cloud'",)


def test_the_slide_may_lie_elsewhere(tmp_path):
    other = write_ndpi_head(tmp_path / "b.ndpi")
    path = write(tmp_path / "a.ndpa", drawing(SQUARE))
    assert read_annotations(path, Reading(slide_file=other)).shape_count == 1


def test_without_the_slide_or_its_offset_the_sentence_says_what_to_do(tmp_path):
    path = write(tmp_path / "a.ndpi.ndpa", drawing(SQUARE))
    with pytest.raises(AnnotationError, match=r"its slide must be at hand: put a\.ndpi"):
        read_annotations(path)
    write_ndpi_head(tmp_path / "a.ndpi", offset=None)
    with pytest.raises(AnnotationError, match=r"a\.ndpi does not say where its pixels lie"):
        read_annotations(path)
    (tmp_path / "a.ndpi").write_bytes(b"II*\0 rubbish")
    with pytest.raises(AnnotationError, match=r"a\.ndpi does not say where its pixels lie"):
        read_annotations(path)


def test_of_a_slide_on_a_server_the_server_is_asked(tmp_path):
    path = write(tmp_path / "a.ndpi.ndpa", drawing(SQUARE))
    told = Glass(mpp=Mpp(*MPP), offset_nm=OFFSET_NM, width_level0=WIDTH, height_level0=HEIGHT)
    (layer,) = read_annotations(path, Reading(glass=lambda: told)).layers
    assert layer.shapes[0].polygon.bounds == pytest.approx((10, 20, 110, 60), abs=0.01)
    with pytest.raises(AnnotationError, match="the server does not say where .*; export"):
        read_annotations(path, Reading(glass=lambda: None))


@pytest.mark.parametrize(
    "bad",
    [
        freehand((1, 1), (2, 2)).replace("<x>", "<x>?"),
        '<annotation type="pin"><x>1</x></annotation>',
        '<annotation type="circle"><x>1</x><y>1</y><radius>-5</radius></annotation>',
        '<annotation type="freehand"/>',
        "<x>1</x>",
        PIN.replace("<x>", "<x>9e99"),
    ],
)
def test_one_bad_drawing_is_left_out_and_named(tmp_path, bad):
    write_ndpi_head(tmp_path / "a.ndpi")
    read = read_annotations(write(tmp_path / "a.ndpi.ndpa", drawing(bad), drawing(SQUARE)))
    assert read.shape_count == 1
    (remark,) = read.remarks
    assert remark.startswith("1 left out that cannot be used: ")
    assert "drawing 1" in remark


def test_other_units_are_refused(tmp_path):
    write_ndpi_head(tmp_path / "a.ndpi")
    text = drawing(SQUARE).replace("nanometers", "pixels")
    with pytest.raises(AnnotationError, match="drawing 1 is in pixels, not in nanometers"):
        read_annotations(write(tmp_path / "a.ndpi.ndpa", text))


def test_links_and_entities_stay_refused(tmp_path):
    write_ndpi_head(tmp_path / "a.ndpi")
    path = tmp_path / "a.ndpi.ndpa"
    path.write_text(
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotations>&e;</annotations>'
    )
    with pytest.raises(AnnotationError, match="document type or entities"):
        read_annotations(path)
