"""The workbook and the table: legal names, text that stays text, everything in its row."""

import csv
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from deeplab.features import workbook
from deeplab.features.csv_table import write_objects
from deeplab.features.slide_labels import SlideLabels
from deeplab.features.workbook import sheet_names, sheets_of, write_workbook
from tests.features.measures_for_tests import measures, of_classes

NONE = SlideLabels()


def book_of(path, slides, labels=NONE):
    write_workbook(path / "o.xlsx", slides, labels, pixels="off")
    return load_workbook(path / "o.xlsx")


def rows_of(sheet):
    head, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(head, row, strict=True)) for row in rows]


def table_of(path, slides, labels=NONE):
    write_objects(path / "o.csv", slides, labels, pixels="off")
    with (path / "o.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@given(st.lists(st.text(), max_size=20))
def test_names_of_sheets_are_legal_and_different_whatever_classes_are_called(names):
    found = list(sheet_names(names))
    assert len(found) == len(names)
    assert len({each.casefold() for each in found} | {"slides", "history"}) == len(names) + 2
    for each in found:
        assert 1 <= len(each) <= 31
        assert not set(each) & set("[]:*?/\\")
        assert each.strip("'") == each


def test_names_that_are_legal_stay():
    names = ["glomerulus", "Tubulus, proximal", "Übergang 🔬", "Slides", "x" * 40, "X" * 40]
    found = list(sheet_names(names))
    assert found[:4] == ["glomerulus", "Tubulus, proximal", "Übergang 🔬", "Slides (2)"]
    assert found[4:] == ["x" * 31, "X" * 27 + " (2)"]


def test_each_object_is_a_row_of_the_sheet_of_its_class(tmp_path):
    slides = [measures("a.svs", x=[5, 7], y=[9]), measures("b.svs", x=[11])]
    book = book_of(tmp_path, slides)
    assert book.sheetnames == ["slides", "x", "y"]
    read = [(row["slide"], row["object"], row["area_um2"]) for row in rows_of(book["x"])]
    assert read == [("a.svs", 1, 5), ("a.svs", 2, 7), ("b.svs", 1, 11)]
    assert "to_y_um" in rows_of(book["x"])[0]
    assert "to_x_um" not in rows_of(book["x"])[0]
    assert book["x"].freeze_panes == "C2"


def test_the_sheet_of_the_slides_has_a_row_for_each_class_of_a_slide(tmp_path):
    slides = [measures("a.svs", 2e6, x=[500, 700], y=[]), measures("b.svs", math.nan, x=[1])]
    rows = rows_of(book_of(tmp_path, slides)["slides"])
    assert [(row["slide"], row["class"], row["count"]) for row in rows] == [
        ("a.svs", "x", 2),
        ("a.svs", "y", 0),
        ("b.svs", "x", 1),
    ]
    assert rows[0]["density_per_mm2"] == 1
    assert rows[0]["total_area_um2"] == 1200
    assert rows[1]["mean_area_um2"] is None, "no number is an empty cell"
    assert rows[2]["density_per_mm2"] is None


def test_labels_join_objects_and_slides(tmp_path):
    labels = SlideLabels(["grade", "area_um2"], {"a.svs": (2.0, "large"), "c": (3.0, None)})
    slides = [measures("a.svs", x=[5]), measures("b.svs", x=[6]), measures("c.svs", x=[7])]
    book = book_of(tmp_path, slides, labels)
    read = [(row["grade"], row["area_um2 (label)"]) for row in rows_of(book["x"])]
    assert read == [(2, "large"), (None, None), (3, None)]
    assert rows_of(book["slides"])[0]["grade"] == 2
    read = [(row["grade"], row["area_um2 (label)"]) for row in table_of(tmp_path, slides, labels)]
    assert read == [("2", "large"), ("", ""), ("3", "")]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "#N/A", "\tx", "TRUE"]
)
def test_text_is_never_a_formula(tmp_path, text):
    labels = SlideLabels([text, "b"], {text.strip(): (text, "c")})
    slides = [of_classes(text, {text: [5], "other": [6]})]
    book = book_of(tmp_path, slides, labels)
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert any(cell.value == text for cell in cells)
    write_objects(tmp_path / "o.csv", slides, labels, pixels="off")
    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]
    assert [cell for cell in cells if cell.lstrip("'") == text]


def test_letters_that_a_workbook_cannot_hold_are_blanks(tmp_path):
    (row,) = rows_of(book_of(tmp_path, [measures("a\x00\x07b.svs", x=[5])])["x"])
    assert row["slide"] == "a  b.svs"


def test_a_class_with_more_objects_than_a_sheet_has_rows_goes_on_in_another(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook, "MAX_ROWS", 4)
    slides = [measures("a", x=[1, 2], y=[1]), measures("b", x=[3, 4, 5]), measures("c", x=[6, 7])]
    book = book_of(tmp_path, slides)
    assert book.sheetnames == ["slides", "x", "x (2)", "x (3)", "y"]
    areas = [[row["area_um2"] for row in rows_of(book[name])] for name in ("x", "x (2)", "x (3)")]
    assert areas == [[1, 2, 3], [4, 5, 6], [7]]
    assert [row["object"] for row in rows_of(book["x (2)"])] == [2, 3, 1]
    assert [sheet.first for sheet in sheets_of(slides)] == [0, 3, 6, 0]


def test_the_table_has_the_columns_of_all_classes(tmp_path):
    slides = [measures("a", x=[5, math.nan]), measures("b", y=[6])]
    rows = table_of(tmp_path, slides)
    assert [(row["slide"], row["class"], row["object"], row["area_um2"]) for row in rows] == [
        ("a", "x", "1", "5"),
        ("a", "x", "2", ""),
        ("b", "y", "1", "6"),
    ]
    assert {"to_x_um", "to_y_um"} <= set(rows[0])
    assert "to_x_um" not in table_of(tmp_path, slides[:1])[0]
