"""Text that is not in UTF-8 is read all the same, and it is said where it was guessed."""

import json

import pytest

from deeplab.annotations.files import read_annotations
from deeplab.errors import AnnotationError

NAME = "Gefäß"
VERTICES = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in ((1, 1), (9, 1), (9, 9)))
IMAGESCOPE = (
    '<Annotations><Annotation Id="1" Name="{}"><Regions><Region Type="0"><Vertices>'
    f"{VERTICES}</Vertices></Region></Regions></Annotation></Annotations>"
)
PLACES = "".join(
    f'<Coordinate Order="{n}" X="{x}" Y="{y}"/>'
    for n, (x, y) in enumerate(((1, 1), (9, 1), (9, 9)))
)
ASAP = (
    '<ASAP_Annotations><Annotations><Annotation Name="1" PartOfGroup="{0}" Type="Polygon">'
    f"<Coordinates>{PLACES}</Coordinates></Annotation></Annotations><AnnotationGroups>"
    '<Group Name="{0}"/></AnnotationGroups></ASAP_Annotations>'
)
GEOJSON = json.dumps(
    {
        "type": "Feature",
        "properties": {"classification": "{}"},
        "geometry": {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 1]]]},
    }
)
HISTOMICSUI = json.dumps([{"name": "{}", "elements": []}])


def read(path, text, encoding, declared=""):
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path.write_bytes((head + text.replace("{0}", NAME).replace("{}", NAME)).encode(encoding))
    return read_annotations(path)


@pytest.mark.parametrize(
    ("text", "suffix"), [(IMAGESCOPE, "xml"), (IMAGESCOPE, "annotations"), (ASAP, "xml")]
)
@pytest.mark.parametrize(
    ("encoding", "declared", "guessed"),
    [
        ("cp1252", "", True),
        ("cp1252", "UTF-8", True),  # which it is not
        ("cp1252", "windows-1252", False),
        ("iso-8859-1", "ISO-8859-1", False),
        ("utf-8", "", False),
        ("utf-8-sig", "utf-8", False),
        ("utf-8", "utf-16", False),  # as .NET writes it
        ("utf-16", "", False),
        ("utf-16", "utf-16", False),
        ("utf-16-le", "", False),
        ("utf-16-be", "", False),
    ],
)
def test_xml_is_read_in_its_encoding(tmp_path, text, suffix, encoding, declared, guessed):
    found = read(tmp_path / f"a.{suffix}", text, encoding, declared)
    assert found.names == (NAME,)
    assert bool(found.remarks) == guessed
    if guessed:
        assert "was read in the code page windows-1252" in found.remarks[0]


@pytest.mark.parametrize(("text", "suffix"), [(GEOJSON, "geojson"), (HISTOMICSUI, "json")])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_is_read_in_its_encoding(tmp_path, text, suffix, encoding):
    found = read(tmp_path / f"a.{suffix}", text, encoding)
    assert found.names == (NAME,)
    assert bool(found.remarks) == (encoding == "cp1252")


def test_a_code_page_without_a_letter_for_each_byte_is_read_too(tmp_path):
    (tmp_path / "a.xml").write_bytes(
        IMAGESCOPE.replace("{}", "x").encode().replace(b'"x"', b'"\x81\xe4"')
    )
    found = read_annotations(tmp_path / "a.xml")
    assert found.names == ("\x81ä",)
    assert "iso-8859-1" in found.remarks[0]


@pytest.mark.parametrize("declared", ["klingon", "utf-8"])
def test_an_encoding_that_cannot_be_read_is_a_sentence_that_says_what_to_do(tmp_path, declared):
    encoding = "utf-8-sig" if declared == "utf-8" else "utf-8"
    path = tmp_path / "a.xml"
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    path.write_bytes((head + IMAGESCOPE).encode(encoding).replace(b"{}", b"\xe4\xff"))
    with pytest.raises(AnnotationError, match="save it as UTF-8"):
        read_annotations(path)
