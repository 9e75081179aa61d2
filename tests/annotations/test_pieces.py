"""A layer goes up in pieces, and comes back as the layer that it was."""

import json
from itertools import pairwise

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from deeplab.annotations.formats.girder_json import (
    read_girder_json,
    write_girder_json,
)
from deeplab.annotations.pieces import (
    PIECE,
    Piece,
    in_pieces,
    layers_of_each_name,
    missing_pieces,
    piece_of,
)
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape
from deeplab.annotations.store import Spilled
from tests.annotations.documents_for_tests import read_documents

NAMES = st.text(min_size=1, max_size=9).filter(str.strip) | st.sampled_from(
    ["a", "a (1 of 2)", "a (2 of 2) (1 of 2)"]
)


def shape_of(corners, place=0):
    """A polygon of so many corners, of which no two shapes have the same place."""
    arch = [(100 * place + x, x * x) for x in range(corners)]
    return Shape(shapely.Polygon(arch), {"place": place})


SIZES = st.lists(st.integers(3, 40), max_size=12)
LAYERS = st.lists(st.tuples(NAMES, SIZES), max_size=3, unique_by=lambda each: each[0]).map(
    lambda drawn: tuple(
        Layer(name, (1, 2, 3), tuple(map(shape_of, sizes, range(12))), "so many")
        for name, sizes in drawn
    )
)
MOST = st.integers(3, 100)


def documents(annotations, folder, most):
    """The pieces as a server has them, one after the other."""
    found = []
    for piece in in_pieces(annotations, most):
        write_girder_json(folder / "a.json", piece)
        found += json.loads((folder / "a.json").read_text())
    return found


@given(layers=LAYERS, most=MOST)
def test_pieces_put_together_are_the_layers(layers, most, tmp_path_factory):
    whole = Annotations(layers, {"cli": "x"})
    told = documents(whole, tmp_path_factory.getbasetemp(), most)
    assert read_documents(told) == whole or not layers
    assert len({each["name"] for each in told}) == len(told) or len(layers) > 1
    assert {piece_of(each).layer for each in told} == set(whole.names)
    assert list(missing_pieces(map(piece_of, told))) == []


@given(layers=LAYERS, most=MOST)
def test_no_piece_has_more_corners_than_one_may_or_is_smaller_than_need_be(layers, most):
    def corners(shapes):
        return sum(len(each.polygon.exterior.coords) - 1 for each in shapes)

    for layer in layers:
        pieces = [piece.layers[0].shapes for piece in in_pieces(Annotations((layer,)), most)]
        assert sum(pieces, ()) == layer.shapes
        assert all(corners(each) <= most or len(each) == 1 for each in pieces)
        for one, after in pairwise(pieces):
            assert corners((*one, after[0])) > most


def test_a_piece_has_the_group_the_labels_and_the_colour_of_its_layer(tmp_path):
    layer = Layer("nuclei", (1, 2, 3), tuple(map(shape_of, [10, 10, 10], range(3))), "3 outlined")
    told = documents(Annotations((layer,), {"cli": "x"}), tmp_path, 20)
    assert [each["name"] for each in told] == ["nuclei (1 of 2)", "nuclei (2 of 2)"]
    assert [len(each["elements"]) for each in told] == [2, 1]
    for number, each in enumerate(told, start=1):
        assert each["description"] == "3 outlined"
        piece = {"layer": "nuclei", "number": number, "count": 2}
        assert each["attributes"] == {"cli": "x", PIECE: piece}
        for element in each["elements"]:
            assert (element["group"], element["label"]) == ("nuclei", {"value": "nuclei"})
            assert element["lineColor"] == "rgb(1, 2, 3)"


def test_a_layer_that_fits_is_posted_as_it_is_and_marks_are_not_lost(tmp_path):
    mark = Mark(shapely.Point(1, 2))
    layer = Layer("a", (1, 2, 3), (shape_of(10), shape_of(10, 1)), "", (mark,))
    (whole,) = documents(Annotations((layer,)), tmp_path, 20)
    assert (whole["name"], whole["attributes"], len(whole["elements"])) == ("a", {}, 3)
    again = read_documents(documents(Annotations((layer,)), tmp_path, 19)).layer("a")
    assert (again.shapes, tuple(again.marks)) == (layer.shapes, (mark,))


def test_shapes_on_disk_are_parted_without_being_held(tmp_path):
    stored = Spilled(Shape, tmp_path)
    for place in range(30):
        stored.append(shape_of(10, place))
    layer = Layer("a", (1, 2, 3), stored.whole())
    sizes = [len(piece.layers[0].shapes) for piece in in_pieces(Annotations((layer,)), 70)]
    assert sizes == [7, 7, 7, 7, 2]


@pytest.mark.parametrize(
    "attributes",
    [
        None,
        [1],
        {},
        {PIECE: "x"},
        {PIECE: {"layer": "a", "number": "1", "count": 2}},
        {PIECE: {"layer": "a", "number": 2, "count": 2}},
        {PIECE: {"layer": "b", "number": 1, "count": 2}},
        {PIECE: {"layer": "a", "number": 3, "count": 2}},
    ],
)
def test_what_is_only_called_like_a_piece_is_a_layer_of_its_own(attributes):
    assert Piece.of("a (1 of 2)", attributes) == Piece("a (1 of 2)")


def test_a_piece_that_somebody_renamed_is_a_layer_of_its_own(tmp_path):
    layer = Layer("a", (1, 2, 3), (shape_of(10), shape_of(10, 1), shape_of(10, 2)))
    told = documents(Annotations((layer,)), tmp_path, 10)
    told[1]["name"] = "mitoses"
    again = read_documents(told)
    assert [(each.name, len(each.shapes)) for each in again.layers] == [("a", 2), ("mitoses", 1)]
    assert again.remarks == ("of the 3 pieces of the layer 'a' only 2 are there",)


def test_pieces_in_a_file_that_a_server_gave_are_one_layer_in_any_order(tmp_path):
    layer = Layer("a", (1, 2, 3), tuple(map(shape_of, [10] * 5, range(5))))
    told = documents(Annotations((layer,)), tmp_path, 10)
    path = tmp_path / "live.json"
    path.write_text(json.dumps([{"annotation": told[place]} for place in (2, 0, 4, 1, 3)]))
    (again,) = read_girder_json(path).layers
    assert again.name == "a"
    assert sorted(each.properties["place"] for each in again.shapes) == [0, 1, 2, 3, 4]


def test_a_layer_in_pieces_counts_once_and_one_that_is_there_twice_counts_twice():
    pieces = [Piece("a", number, 3) for number in (1, 2, 3)]
    told = [(each.name, each.attributes) for each in (*pieces, Piece("b"), Piece("b"))]
    assert layers_of_each_name(told) == {"a": 1, "b": 2}
    assert layers_of_each_name(told * 2) == {"a": 2, "b": 4}
