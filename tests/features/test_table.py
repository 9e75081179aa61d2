"""A table of each class: every column, every shape, in order."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.features import neighbours, outline, windows
from deeplab.features.slide_summary import ClassSummary
from deeplab.features.table import measure
from deeplab.geometry.frames import Mpp
from tests.features.drawn import disc

RED = (255, 0, 0)
PAGE = Path(__file__).parents[2] / "docs/reference/features.md"


def layer(name, *polygons):
    return Layer(name, RED, tuple(map(Shape, polygons)))


def test_every_class_has_all_columns_and_a_row_for_each_shape():
    drawn = Annotations(
        (layer("Größe, µ/🔬", disc(), disc(9, 0)), layer("none"), layer("b", disc(5)))
    )
    tables = measure(drawn, Mpp(0.5, 0.5), radius_um=10)
    assert list(tables) == ["Größe, µ/🔬", "none", "b"]
    for name, table in tables.items():
        others = [neighbours.distance_column(other) for other in tables if other != name]
        assert list(table.columns) == [*outline.COLUMNS, *neighbours.COLUMNS, *others]
    rows = list(tables["Größe, µ/🔬"].rows())
    assert [row["centroid_x_level0"] for row in rows] == pytest.approx([0, 9])
    assert all(type(value) is float for row in rows for value in row.values())
    assert list(tables["none"].rows()) == []


def test_layers_that_share_a_name_are_one_class():
    drawn = Annotations((layer("a", disc()), layer("b"), layer("a", disc(10))))
    (table, _) = measure(drawn, Mpp.square(1), radius_um=50).values()
    assert table.columns["nearest_same_centroid_um"].tolist() == pytest.approx([10, 10])


def test_a_class_may_be_called_like_a_column():
    drawn = Annotations((layer("same", disc()), layer("other", shapely.box(3, 0, 4, 1))))
    table = measure(drawn, Mpp.square(1), radius_um=50)["other"]
    assert table.columns["to_same_um"].tolist() == [2]


def test_the_page_of_the_features_names_each_column():
    page = PAGE.read_text(encoding="utf-8")
    summary = [field.name for field in fields(ClassSummary)]
    others = [neighbours.distance_column("CLASS")]
    for name in (*outline.COLUMNS, *neighbours.COLUMNS, *others, *windows.COLUMNS, *summary):
        assert f"`{name}`" in page, name


def test_the_page_of_the_features_names_no_column_that_is_none():
    known = {*outline.COLUMNS, *neighbours.COLUMNS, neighbours.distance_column("CLASS")}
    known |= set(windows.COLUMNS) | {field.name for field in fields(ClassSummary)}
    rows = re.findall(r"^\| (`.+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == known
