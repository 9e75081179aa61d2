"""Layers that a task puts on a slide, and what becomes of those it put there before."""

import pytest
import shapely

from deeplab import __version__
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.errors import ServerError
from deeplab.exchange import layers
from deeplab.exchange.layers import ORIGIN, Origin, layers_in_place, post_layers, replace_layers
from deeplab.server.session import Session
from tests.girder_for_tests import ITEM, Board

OTHER_ITEM = "4e" * 12


def drawn(*names, side=10.0):
    layers = (Layer(name, (1, 2, 3), (Shape(shapely.box(0, 0, side, side)),)) for name in names)
    return Annotations(tuple(layers), {"cli": "before"})


def origin(digest="", *, task="Ingest", source="a.xml"):
    return Origin(task=task, source=source, digest=digest, facts={"file": "a.xml"})


@pytest.fixture
def board(girder):
    board = Board(girder, ITEM, OTHER_ITEM)
    board.put(ITEM, {"name": "mine", "elements": []})
    board.put(ITEM, {"name": "another task's", "attributes": {ORIGIN: {"task": "Evaluate"}}})
    return board


def put(girder, annotations, of, only=()):
    with Session(girder.login) as session:
        return replace_layers(session, ITEM, annotations, of, only=only)


def test_layers_say_of_what_they_were_made_and_keep_what_they_said(girder, board):
    done = put(girder, drawn("a", "b"), origin("d1"))
    assert done.posted == {"a": "a", "b": "b"}
    annotation = board.named(ITEM)["a"]["annotation"]
    assert annotation["attributes"]["cli"] == "before"
    assert annotation["attributes"][ORIGIN] == {
        "task": "Ingest",
        "version": __version__,
        "item": ITEM,
        "source": "a.xml",
        "digest": "d1",
        "layer": "a",
        "name": "a",
        "file": "a.xml",
    }
    assert len(annotation["elements"]) == 1


def test_the_same_content_is_not_put_there_twice(girder, board):
    put(girder, drawn("a", "b"), origin("d1"))
    before = dict(board.layers)
    done = put(girder, drawn("a", "b"), origin("d1"))
    assert (done.posted, done.present, done.removed) == ({}, ("a", "b"), ())
    assert board.layers == before
    # A copy under another name has nothing new either.
    assert put(girder, drawn("a", "b"), origin("d1", source="b.xml")).posted == {}
    assert board.layers == before


def test_without_a_digest_the_layers_are_put_there_anew(girder, board):
    put(girder, drawn("a"), origin())
    (first,) = [each["_id"] for each in board.of(ITEM) if each["annotation"]["name"] == "a"]
    assert put(girder, drawn("a"), origin()).removed == ("a",)
    assert first not in board.layers
    assert set(board.named(ITEM)) == {"mine", "another task's", "a"}


def test_other_content_of_the_source_takes_the_place_of_the_earlier(girder, board):
    put(girder, drawn("a", "b"), origin("d1"))
    put(girder, drawn("c"), origin("d3", source="c.xml"))
    done = put(girder, drawn("a", "d", side=20), origin("d2"))
    assert (done.posted, set(done.removed)) == ({"a": "a", "d": "d"}, {"a", "b"})
    assert set(board.named(ITEM)) == {"mine", "another task's", "a", "c", "d"}
    (element,) = board.named(ITEM)["a"]["annotation"]["elements"]
    assert [20, 20, 0] in element["points"]


def test_what_somebody_has_changed_stays_and_the_new_one_has_another_name(girder, board):
    put(girder, drawn("a", "b"), origin("d1"))
    number = board.named(ITEM)["a"]["_id"]
    board.change(number, description="corrected")
    for _ in range(2):  # the second time there is nothing left to do
        done = put(girder, drawn("a", "b"), origin("d2"))
        assert done.kept == ("a",)
        found = board.named(ITEM)
        assert set(found) == {"mine", "another task's", "a", "b", "a (2)"}
        assert found["a"]["_id"] == number
    done = put(girder, drawn("a"), origin("d3"))
    assert set(board.named(ITEM)) == {"mine", "another task's", "a", "a (2)"}
    assert done.posted == {"a": "a (2)"}


def test_a_copy_of_a_layer_that_was_marked_as_corrected_stays(girder, board):
    put(girder, drawn("a", "b"), origin("d1"))
    # Its times are those of its making, as of one that nobody has touched.
    for name in ("a", "b"):
        layer = board.named(ITEM)[name]["annotation"]
        layer["attributes"] |= {"corrected": {"by": "anna"}} if name == "a" else {}
    done = put(girder, drawn("a", "b"), origin("d2"))
    assert (done.kept, done.removed) == (("a",), ("b",))
    assert done.posted == {"a": "a (2)", "b": "b"}


def test_a_layer_that_somebody_renamed_is_not_put_there_again(girder, board):
    put(girder, drawn("a"), origin("d1"))
    board.change(board.named(ITEM)["a"]["_id"], name="tumour")
    before = dict(board.layers)
    assert put(girder, drawn("a"), origin("d1")).posted == {}
    assert board.layers == before


def test_only_the_layers_asked_for_are_put_there_or_replaced(girder, board):
    put(girder, drawn("a", "b"), origin("d1"))
    done = put(girder, drawn("a", "b", "c"), origin("d2"), only=("a", "c"))
    assert (set(done.posted), done.removed) == ({"a", "c"}, ("a",))
    assert put(girder, drawn("a", "b", "c"), origin("d2"), only=("c",)).names == ("c",)
    digests = {
        name: each["annotation"]["attributes"][ORIGIN].get("digest")
        for name, each in board.named(ITEM).items()
        if name in "abc"
    }
    assert digests == {"a": "d2", "b": "d1", "c": "d2"}


def test_nothing_is_removed_where_the_new_layers_do_not_arrive(girder, board):
    put(girder, drawn("a", "b"), origin("d1"))
    before = dict(board.layers)
    girder.faults = [None, None, 500]
    with pytest.raises(ServerError, match="failed"):
        put(girder, drawn("a", "b"), origin("d2"))
    assert board.layers == before
    assert girder.deleted == []
    girder.faults = [None, None, None, None, 500]  # the second of the two does not
    with pytest.raises(ServerError, match="failed.*; a had been put there before and will be"):
        put(girder, drawn("a", "b"), origin("d2"))
    assert before.items() <= board.layers.items()
    put(girder, drawn("a", "b"), origin("d2"))  # what was left to do
    assert set(board.named(ITEM)) == {"mine", "another task's", "a", "b"}


def test_a_change_made_while_the_new_layers_arrive_is_not_lost(girder, board):
    put(girder, drawn("a"), origin("d1"))
    number = board.named(ITEM)["a"]["_id"]
    listed = girder.routes["annotation"]
    asked = []

    def changed_in_between(query):
        asked.append(query)
        if len(asked) == 2:
            board.change(number, description="corrected")
        return listed(query)

    girder.routes["annotation"] = changed_in_between
    done = put(girder, drawn("a"), origin("d2"))
    assert (done.removed, done.kept) == ((), ("a",))
    assert number in board.layers


def test_a_layer_that_came_with_a_copy_of_the_slide_is_not_touched(girder, board):
    put(girder, drawn("a"), origin("d1"))
    copy = board.put(OTHER_ITEM, dict(board.named(ITEM)["a"]["annotation"]))
    # And one that a converted file gave the attributes of another.
    mine = board.put(ITEM, board.named(ITEM)["a"]["annotation"] | {"name": "drawn by hand"})
    put(girder, drawn("a"), origin("d2"))
    with Session(girder.login) as session:
        replace_layers(session, OTHER_ITEM, drawn("a"), origin("d2"))
    assert {copy, mine} <= set(board.layers)


@pytest.mark.parametrize("attributes", [None, [1], {ORIGIN: "x"}, {ORIGIN: {"task": 5}}])
def test_strange_attributes_of_others_do_no_harm(girder, board, attributes):
    number = board.put(ITEM, {"name": "a", "elements": [], "attributes": attributes})
    put(girder, drawn("a"), origin("d1"))
    put(girder, drawn("a"), origin("d2"))
    assert number in board.layers
    assert len(board.of(ITEM)) == 4


@pytest.fixture
def in_threes(monkeypatch):
    """A layer of three squares is put there in three pieces."""
    monkeypatch.setattr(layers, "MOST_CORNERS", 4)
    shapes = tuple(Shape(shapely.box(x, 0, x + 5, 5)) for x in (0, 10, 20))
    return Annotations((Layer("a", (1, 2, 3), shapes), *drawn("b").layers))


PIECES = {f"a ({number} of 3)" for number in (1, 2, 3)}
OTHERS = {"mine", "another task's", "b"}


def test_a_layer_in_pieces_is_taken_for_the_one_that_it_is(girder, board, in_threes):
    for digest in ("d1", "d2"):
        assert put(girder, in_threes, origin(digest)).posted == {"a": "a", "b": "b"}
        assert set(board.named(ITEM)) == {*PIECES, *OTHERS}
        before = dict(board.layers)
        done = put(girder, in_threes, origin(digest))
        assert (done.posted, done.present, done.removed) == ({}, ("a", "b"), ())
        assert board.layers == before
    done = put(girder, drawn("b"), origin("d3"))
    assert (done.posted, set(done.removed)) == ({"b": "b"}, {"a", "b"})
    assert set(board.named(ITEM)) == OTHERS


def test_a_layer_of_which_a_piece_is_missing_is_put_there_anew(girder, board, in_threes):
    put(girder, in_threes, origin("d1"))
    del board.layers[board.named(ITEM)["a (2 of 3)"]["_id"]]
    with Session(girder.login) as session:
        told = layers_in_place(session, ITEM, origin("d1"))
    assert [each["layer"] for each in told] == ["b"]
    done = put(girder, in_threes, origin("d1"))
    assert (done.posted, done.present, done.removed) == ({"a": "a"}, ("b",), ("a",))
    assert set(board.named(ITEM)) == {*PIECES, *OTHERS}


def test_a_piece_that_somebody_has_changed_stays_and_the_new_layer_has_another_name(
    girder, board, in_threes
):
    put(girder, in_threes, origin("d1"))
    board.change(board.named(ITEM)["a (2 of 3)"]["_id"], description="corrected")
    done = put(girder, in_threes, origin("d2"))
    assert (done.posted, done.kept) == ({"a": "a (2)", "b": "b"}, ("a",))
    new = {f"a (2) ({number} of 3)" for number in (1, 2, 3)}
    assert set(board.named(ITEM)) == {"a (2 of 3)", *new, *OTHERS}


@pytest.mark.parametrize("number", range(4))
def test_of_a_layer_in_pieces_all_arrive_or_none(girder, board, in_threes, number):
    girder.routes[f"item/{ITEM}"] = {"_id": ITEM, "name": "a.svs", "folderId": OTHER_ITEM}
    before = dict(board.layers)
    girder.faults = [None, None, None, *[None] * number, 500]
    with pytest.raises(ServerError, match="taken back|nothing of it"):
        post_layers(in_threes, (), ITEM, girder.login)
    assert board.layers == before
    post_layers(in_threes, (), ITEM, girder.login)
    assert set(board.named(ITEM)) == {*PIECES, *OTHERS}
