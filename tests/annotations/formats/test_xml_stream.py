import codecs

import pytest

from deeplab.annotations.formats.xml_stream import check_root, elements, root_of, tag
from deeplab.errors import AnnotationError

BOMB = (
    '<!DOCTYPE a [<!ENTITY a "xxxxxxxxxx">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + ']><Annotations MicronsPerPixel="&i;">&i;</Annotations>'
)


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    return path


def names(path):
    return [element.get("n") for event, element in elements(path, ["e"]) if event == "end"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("{}", "is not XML that can be read"),
        ("<A>", "is not XML that can be read"),
        ("<A><e n='1'/>", "is not XML that can be read"),
        ("<A><e n='1'></A>", "is not XML that can be read"),
        ("<A>&undefined;</A>", "is not XML that can be read"),
        ('<?xml version="1.0" encoding="nonsense"?><A/>', "is not XML that can be read"),
        ("<A>" + "<e>" * 5000, "is not XML that can be read: .*[Dd]epth"),
        ('<!DOCTYPE A [<!ENTITY x SYSTEM "file:///etc/passwd">]><A>&x;</A>', "document type"),
        ('<!DOCTYPE A SYSTEM "http://localhost/a.dtd"><A/>', "document type"),
        ("<!-- " + "x" * 40_000 + " --><!DOCTYPE A><A/>", "document type"),
        (BOMB, "document type"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(AnnotationError, match=sentence) as caught:
        names(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_expanded(tmp_path):
    with pytest.raises(AnnotationError, match="document type"):
        root_of(write(tmp_path, BOMB))


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path):
    with pytest.raises(AnnotationError, match="there is no such file"):
        names(tmp_path / "none.xml")
    with pytest.raises(AnnotationError, match="is a folder"):
        names(tmp_path)


def test_another_root_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="is not an A file: it begins with <html>"):
        check_root(write(tmp_path, "<html/>"), "A", "an A")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_every_encoding_that_is_declared_is_read(tmp_path, encoding):
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?><A><e n="Gefäß"/></A>'
    assert names(write(tmp_path, text, encoding)) == ["Gefäß"]


def test_utf16_is_known_by_its_mark_alone(tmp_path):
    path = tmp_path / "a.xml"
    path.write_bytes(codecs.BOM_UTF16_LE + '<A><e n="é"/></A>'.encode("utf-16-le"))
    assert names(path) == ["é"]


def test_what_has_ended_is_forgotten(tmp_path):
    path = write(tmp_path, "<A>" + "<x/><e n='1'><y/></e>" * 10_000 + "</A>")
    most = 0
    for _, element in elements(path, ["e"]):
        most = max(most, len(element.getparent()))
    assert most < 5_000  # what the parser has read ahead, of 20,000


@pytest.mark.parametrize("value", ["a & <b> \"c\" 'd'", "a\nb\tc\rd", "🧠]]>", " x "])
def test_a_tag_holds_any_text(tmp_path, value):
    path = write(tmp_path, "<A>" + tag("e", {"n": value}, end="/>") + "</A>")
    assert names(path) == [value]


def test_a_tag_drops_what_xml_cannot_hold(tmp_path):
    path = write(tmp_path, "<A>" + tag("e", {"n": "a\x00b\ud800\uffff"}, end="/>") + "</A>")
    assert names(path) == ["a b? "]


@pytest.mark.parametrize("root", ['A xmlns="urn:x"', 'A xmlns="urn:x" xmlns:y="urn:y"'])
def test_a_namespace_does_not_matter(tmp_path, root):
    path = write(tmp_path, f'<{root}><b><e n="1"/><e n="2"><c/></e></b></A>')
    assert root_of(path) == "A"
    check_root(path, "A", "an A")
    assert names(path) == ["1", "2"]


def test_a_prefix_is_a_namespace_too(tmp_path):
    path = write(tmp_path, '<p:A xmlns:p="urn:x"><p:e n="1"/></p:A>')
    assert root_of(path) == "A"
    assert names(path) == ["1"]


@pytest.mark.parametrize("before", ["\n", " \r\n\t ", "\ufeff\n"])
def test_blanks_before_the_declaration_are_passed_over(tmp_path, before):
    path = write(tmp_path, f'{before}<?xml version="1.0" encoding="UTF-8"?><A><e n="ä"/></A>')
    assert names(path) == ["ä"]
