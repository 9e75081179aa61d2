"""Which layers are the reference and which the prediction: by name, else by who made them."""

import json

import pytest

from deeplab.annotations.formats.format import Reading
from deeplab.annotations.pieces import Piece
from deeplab.errors import SourceError
from deeplab.evaluation.sides import only, reference_in_file, sides_in_file
from tests.evaluation.cases_for_tests import request, side


@pytest.fixture
def sides_of(tmp_path):
    def read(documents, *, by=sides_in_file, **settings):
        path = tmp_path / "live.json"
        path.write_text(json.dumps(documents))
        return by(path, Reading(), request(**settings), "s.svs")

    return read


def layer(name, *, made=False, model="m.zip", sha256="", marker=0):
    """A layer, by whose number of points its side is recognised."""
    points = [[0, 0, 0], [9, 0, 0], [9, 9 + marker, 0]]
    element = {"type": "polyline", "closed": True, "points": points}
    told = {"name": model, "sha256": sha256 or model}
    attributes = {"cli": "SegmentWSI", "model": told} if made else {}
    return {"name": name, "attributes": attributes, "elements": [element]}


MINE, FOUND = layer("a"), layer("a", made=True, marker=5)
OTHER, COPY = layer("b"), layer("copy of a")


@pytest.mark.parametrize(
    ("documents", "settings", "reference", "prediction"),
    [
        ([MINE, FOUND], {}, ("a",), ("a",)),
        ([MINE, OTHER, FOUND], {"reference_layers": ("b",)}, ("b",), ("a",)),
        ([MINE, COPY], {"prediction_layers": ("Copy of A",)}, ("a",), ("copy of a",)),
        ([MINE, COPY, FOUND], {"prediction_layers": ("copy of a",)}, ("a",), ("copy of a",)),
        ([FOUND, layer("b", made=True)], {"reference_layers": ("a",)}, ("a",), ("b",)),
        ([MINE, OTHER], {"reference_layers": ("a",), "prediction_layers": ("b",)}, ("a",), ("b",)),
        ([MINE, FOUND], {"reference_layers": ("a",), "prediction_layers": ("a",)}, ("a",), ("a",)),
        ([MINE, FOUND], {"reference_layers": ("a",)}, ("a",), ("a",)),
    ],
)
def test_names_go_before_who_made_a_layer(sides_of, documents, settings, reference, prediction):
    found = sides_of(documents, **settings)
    assert (found.reference.names, found.prediction.names) == (reference, prediction)


def test_a_layer_that_was_marked_as_corrected_is_a_reference_and_regions_are_none(sides_of):
    marked = layer("a", made=True)
    marked["attributes"]["corrected"] = {"by": "anna"}
    found = sides_of([marked, FOUND])
    assert (found.reference.names, found.prediction.names) == (("a",), ("a",))
    marked["attributes"]["corrected"]["within"] = "annotate next"
    with pytest.raises(SourceError, match="has no layer that a person drew"):
        sides_of([marked, FOUND])


def test_of_two_layers_of_one_name_each_goes_to_its_own_side(sides_of):
    for documents in ([MINE, FOUND], [FOUND, MINE]):
        found = sides_of(documents, reference_layers=("a",))
        areas = [
            each.layers[0].shapes[0].polygon.area for each in (found.reference, found.prediction)
        ]
        assert areas == [9 * 9 / 2, 9 * 14 / 2]
        assert (found.model, len(found.reference.layers)) == ("m.zip", 1)


def test_of_two_models_of_one_name_one_is_chosen_by_its_digest(sides_of):
    documents = [MINE, FOUND, layer("a", made=True, sha256="cd", marker=7)]
    both = sides_of(documents, model="m.zip")
    assert (both.model, both.model_sha256) == ("m.zip", ""), "the figures would be of neither"
    found = sides_of(documents, model="cd")
    assert (found.model, found.model_sha256) == ("m.zip", "cd")
    assert [shape.polygon.area for shape in found.prediction.layers[0].shapes] == [9 * 16 / 2]


def test_layers_of_two_runs_are_said(sides_of):
    found = sides_of([MINE, MINE, FOUND, FOUND])
    assert [each.partition(";")[0] for each in found.prediction.remarks] == [
        "2 predicted layers are called a"
    ]
    assert found.reference.remarks == ()


def in_two(document):
    """A layer as it goes up in two pieces."""
    for number in (1, 2):
        piece = Piece(document["name"], number, 2)
        attributes = {**document["attributes"], **piece.attributes}
        yield {**document, "name": piece.name, "attributes": attributes}


@pytest.mark.parametrize("settings", [{}, {"prediction_layers": ("A",)}])
def test_a_layer_in_pieces_is_one_on_either_side(sides_of, settings):
    documents = [*in_two(MINE), *in_two(FOUND)]
    found = sides_of(documents, **settings)
    for each in (found.reference, found.prediction):
        assert [(layer.name, len(layer.shapes)) for layer in each.layers] == [("a", 2)]
        assert each.remarks == ()
    twice = sides_of([*documents, *in_two(FOUND)])
    assert [each.partition(";")[0] for each in twice.prediction.remarks] == [
        "2 predicted layers are called a"
    ]


@pytest.mark.parametrize(
    ("documents", "settings", "sentence"),
    [
        ([FOUND], {}, "s.svs has no layer that a person drew; name the layers of the reference"),
        ([MINE], {}, "s.svs has no layer that a task made; name the layers of the prediction"),
        ([MINE, FOUND], {"reference_layers": ("x",)}, "called x; correct reference_layers"),
        (
            [MINE, FOUND],
            {"prediction_layers": ("x", "y")},
            "called x or y; correct prediction_layers",
        ),
        ([MINE, FOUND, layer("a", made=True, model="n.zip")], {}, "layers of 2 models"),
        ([], {}, "no layer that a person drew"),
        (["strange", None, 3], {}, "no layer that a task made"),
    ],
)
def test_a_side_without_layers_is_one_clear_sentence(sides_of, documents, settings, sentence):
    with pytest.raises(SourceError, match=sentence):
        sides_of(documents, **settings)


def test_the_reference_alone_is_what_people_drew(sides_of):
    assert sides_of([MINE, FOUND, OTHER], by=reference_in_file).names == ("a", "b")
    with pytest.raises(SourceError, match="that a person drew"):
        sides_of([FOUND], by=reference_in_file)


def test_layers_of_a_file_are_chosen_by_name_whatever_its_writing():
    drawn = side(Tumour=[], stroma=[])
    assert only(drawn, ("tumour ",), "f").names == ("Tumour",)
    assert only(drawn, (), "f") is drawn
    with pytest.raises(SourceError, match="f has no layer 'x', only Tumour, stroma"):
        only(drawn, ("x",), "f")
