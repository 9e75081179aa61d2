"""What a laboratory knows of its slides: read, matched by name, and not trusted."""

import datetime as dt
import zipfile

import pytest
from openpyxl import Workbook

from deeplab.errors import SourceError
from deeplab.features import slide_labels
from deeplab.features.slide_labels import read_slide_labels


def written(path, *rows):
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return read_slide_labels(path)


def told(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8-sig")
    return read_slide_labels(path)


def test_a_csv_is_read_with_any_separator_and_numbers_are_numbers(tmp_path):
    for separator in ",;\t":
        rows = [["Slide", "grade", "lab", "number"], ["a.svs", "2", "Köln", "007"]]
        labels = told(tmp_path, "\n".join(separator.join(row) for row in rows))
        assert labels.columns == ("grade", "lab", "number")
        assert labels.of("a.svs") == (2.0, "Köln", "007")


def test_a_workbook_is_read_as_its_values(tmp_path):
    day = dt.date(2024, 5, 6)
    labels = written(
        tmp_path / "l.xlsx", ["id", "name", "day", "ok"], [7, "a", day, True], [None, None]
    )
    assert labels.columns == ("id", "day", "ok")
    assert labels.of("A.SVS") == (7.0, "2024-05-06", "True")


@pytest.mark.parametrize(
    ("row", "slide"),
    [
        ("a.svs", "a.svs"),
        ("a", "a.svs"),
        ("A.SVS", "a.svs"),
        (" a.svs ", "a"),
        ("a.svs", "a.tiff"),  # converted
        ("TCGA-01.8A2F", "TCGA-01.8A2F.svs"),
        ("Übergang 1", "übergang  1.ndpi"),
        ("1024", "1024.svs"),
    ],
)
def test_a_slide_is_matched_with_its_suffix_or_without(tmp_path, row, slide):
    assert told(tmp_path, f"slide,x\n{row},yes\n").of(slide) == ("yes",)


@pytest.mark.parametrize(
    ("rows", "slide"),
    [("b,1\n", "a.svs"), ("a.svs,1\na.ndpi,2\n", "a"), ("TCGA-01.8A2F,1\n", "TCGA-01.svs")],
)
def test_a_slide_that_is_not_there_for_sure_has_no_labels(tmp_path, rows, slide):
    assert told(tmp_path, f"slide,x\n{rows}").of(slide) is None


def test_two_slides_that_differ_in_their_suffix_are_told_apart(tmp_path):
    labels = told(tmp_path, "slide,x\na.svs,1\na.ndpi,2\n")
    assert (labels.of("a.svs"), labels.of("a.ndpi")) == ((1.0,), (2.0,))


def test_a_column_may_be_called_by_a_year(tmp_path):
    assert written(tmp_path / "l.xlsx", ["slide", 2024], ["a", 1]).columns == ("2024",)


def test_columns_of_one_name_are_told_apart_and_nameless_ones_left_out(tmp_path):
    assert told(tmp_path, "slide,x,,X\na,1,2,3\n").columns == ("x", "X (2)")
    assert told(tmp_path, "slide,x,,X\na,1,2,3\n").of("a") == (1.0, 3.0)


def test_a_slide_with_two_rows_is_refused(tmp_path):
    with pytest.raises(SourceError, match=r"labels.csv has two rows for the slide a.svs"):
        told(tmp_path, "slide,x\na.svs,1\nA.svs,2\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.xlsx", b""),
        ("l.xlsx", b"slide,x"),
        ("l.xlsx", b"PK\x03\x04broken"),
        ("l.csv", b""),
        ("l.csv", b"\xff\xfe\x00no table"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=name):
        read_slide_labels(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Workbook contains no stylesheet")
@pytest.mark.parametrize(
    "content", [b"", b"<a", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'], ids=len
)
@pytest.mark.parametrize("part", ["workbook", "worksheets/sheet1", "sharedStrings", "styles"])
def test_a_workbook_of_which_a_part_is_broken_is_refused_or_read_without_it(
    tmp_path, part, content
):
    path = tmp_path / "l.xlsx"
    written(path, ["slide", "x"], ["a", 1.5])
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(path, "w") as packed:
        for name, own in parts.items():
            packed.writestr(name, content if name == f"xl/{part}.xml" else own)
    try:
        assert read_slide_labels(path).of("b") is None
    except SourceError as error:
        assert "l.xlsx" in str(error)  # noqa: PT017  either is right, but nothing else


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_labels, "MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "l.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/workbook.xml", b" " * 2000)
    with pytest.raises(SourceError, match="larger than a table of slides can be"):
        read_slide_labels(tmp_path / "l.xlsx")


def test_a_table_with_too_many_rows_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(slide_labels, "MOST_ROWS", 3)
    assert told(tmp_path, "slide,x\na,1\nb,2\n").of("b") == (2.0,)
    with pytest.raises(SourceError, match="more than 3 rows"):
        told(tmp_path, "slide,x\na,1\nb,2\nc,3\n")
