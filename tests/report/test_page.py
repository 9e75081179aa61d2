"""Pieces of a page: escaped once, whatever a user calls things."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from deeplab.report.page import image, joined, page, table, tag


@given(st.text(), st.text())
def test_any_text_comes_out_as_it_went_in_and_never_as_an_element(words, attribute):
    tree = ET.fromstring(tag("p", words, title=attribute))
    shown, title = (
        "".join(each if each.isprintable() else " " for each in text) for text in (words, attribute)
    )
    assert (tree.text or "") == shown
    assert tree.get("title") == title
    assert len(tree) == 0


def test_pieces_are_not_escaped_again():
    assert tag("p", "a<b", tag("b", "&")) == "<p>a&lt;b<b>&amp;</b></p>"
    assert joined(["a", ["&", tag("br")]]) == "a&amp;<br/>"


def test_the_first_columns_of_a_table_are_words_and_the_others_numbers():
    tree = ET.fromstring(table(["a", "b", "c"], [["x", "y", "1"]], words=2))
    cells = tree.findall(".//td")
    assert [cell.text for cell in cells] == ["x", "y", "1"]
    assert [cell.get("class") for cell in cells] == [None, None, "number"]


def test_a_page_is_well_formed_and_may_load_nothing():
    text = page("a < b", "p { margin: 0 }", tag("p", "x"), image(b"123", "png", "a picture"))
    assert text.startswith("<!DOCTYPE html>\n<html ")
    tree = ET.fromstring(text)
    assert tree.find("head/title").text == "a < b"
    assert "default-src 'none'" in tree.findall("head/meta")[1].get("content")
    assert tree.find(".//img").get("src") == "data:image/png;base64,MTIz"
