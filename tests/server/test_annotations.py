from __future__ import annotations

import json

import pytest

from deeplab.errors import AnnotationError, ServerError
from deeplab.interrupt import Stopped
from deeplab.server import annotations, client
from deeplab.server.annotations import (
    AnnotationFile,
    AnnotationHead,
    annotation_heads,
    post_annotation_files,
    post_annotations,
)
from deeplab.server.session import Patience, Session
from tests.girder_for_tests import FOLDER, ITEM, Board, Bodied, fake_girder

WHOLE = {"_id": FOLDER, "annotation": {"name": "tumour", "elements": []}}


def test_annotations_are_listed():
    with fake_girder(routes={"annotation": [WHOLE]}) as girder, Session(girder.login) as session:
        assert annotation_heads(session, ITEM) == [AnnotationHead(FOLDER, "tumour")]
        assert girder.asked[-1][1] == {"itemId": ITEM, "limit": "0"}


def test_annotations_are_posted_together():
    new = [{"name": "a", "elements": []}, {"name": "b", "elements": []}]
    with fake_girder(routes={f"annotation/item/{ITEM}": {"n": 2}, "annotation": []}) as girder:
        with Session(girder.login) as session:
            post_annotations(session, ITEM, new)
        assert girder.posted == [new]


@pytest.mark.parametrize(
    ("times", "as_made"),
    [
        ({"created": "1", "updated": "1"}, True),
        ({"created": "1", "updated": "2"}, False),
        ({"created": "1"}, False),
        ({}, False),
    ],
)
def test_a_layer_that_was_saved_again_is_no_longer_as_it_was_made(times, as_made):
    told = WHOLE | times | {"annotation": {"name": "a", "attributes": {"cli": "x"}}}
    with fake_girder(routes={"annotation": [told]}) as girder, Session(girder.login) as session:
        (head,) = annotation_heads(session, ITEM)
    assert head == AnnotationHead(FOLDER, "a", {"cli": "x"}, as_made)


@pytest.mark.parametrize("reply", [{}, "x", [1], [{"_id": FOLDER}]])
def test_an_answer_that_is_no_list_of_annotations_is_an_error(reply):
    with (
        fake_girder(routes={"annotation": reply}) as girder,
        Session(girder.login) as session,
        pytest.raises(ServerError, match="not a list of annotations"),
    ):
        annotation_heads(session, ITEM)


ME, IMAGE = "1a" * 12, "2b" * 12


class Uploads:
    """A server that makes annotations of what is uploaded to an item, some requests later."""

    def __init__(self, girder, *, makes=True, requests=2):
        self.board, self.makes, self.left = Board(girder, ITEM), makes, requests
        self.begun, self.content = {}, b""
        girder.routes |= {
            "user/me": {"_id": ME},
            f"item/{ITEM}/files": self._files,
            "file": Bodied(self._begin),
            "file/chunk": Bodied(self._take),
        }

    def _begin(self, query, _body):
        self.begun = query
        return {"_id": "3c" * 12}

    def _take(self, query, body):
        assert int(query["offset"]) == len(self.content)
        self.content += body
        return {"_id": "3c" * 12, "itemId": ITEM}

    def _files(self, _query):
        image = {"_id": IMAGE, "name": "a.svs", "size": 1}
        if not self.content:
            return [image]
        self.left -= 1
        if self.left >= 0:
            return [image, {"_id": "3c" * 12, "name": self.begun["name"], "size": 1}]
        if self.makes:
            for annotation in json.loads(self.content):
                self.board.put(ITEM, annotation)
        return [image]


@pytest.fixture
def large_file(tmp_path, monkeypatch):
    """A file larger than one request may be."""
    monkeypatch.setattr(annotations, "MOST_BYTES_AT_ONCE", 10)
    monkeypatch.setattr(annotations, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(client, "PIECE_BYTES", 20)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"name": "nuclei", "elements": []}]))
    return AnnotationFile(path, ("nuclei",))


def test_what_is_too_large_for_one_request_goes_up_in_pieces(large_file):
    with fake_girder() as girder, Session(girder.login) as session:
        server = Uploads(girder)
        post_annotation_files(session, ITEM, [large_file])
        assert set(server.board.named(ITEM)) == {"nuclei"}
        assert json.loads(server.begun["reference"]) == {
            "identifier": "LargeImageAnnotationUpload",
            "itemId": ITEM,
            "fileId": IMAGE,
            "userId": ME,
        }
        assert (server.begun["parentType"], server.begun["parentId"]) == ("item", ITEM)
        assert girder.posted == [], "nothing went in one request"


def test_a_server_that_makes_nothing_of_what_went_up_is_an_error(large_file, monkeypatch):
    with fake_girder() as girder, Session(girder.login) as session:
        Uploads(girder, makes=False)
        with pytest.raises(ServerError, match="could not make it of its file; its log says why"):
            post_annotation_files(session, ITEM, [large_file])
    monkeypatch.setattr(annotations, "WAIT_S", 0.0)
    with fake_girder() as girder, Session(girder.login) as session:
        Uploads(girder, requests=10_000)
        with pytest.raises(ServerError, match=r"has not yet made it of its file layer-\w+\.json"):
            post_annotation_files(session, ITEM, [large_file])


NEW = [{"name": "nuclei", "elements": []}, {"name": "vessels", "elements": []}]


@pytest.fixture
def board():
    with fake_girder() as girder:
        board = Board(girder, ITEM)
        board.put(ITEM, {"name": "mine", "elements": []})
        yield board


@pytest.mark.parametrize("fault", ["half", 500, "drop"])
def test_layers_that_arrive_though_the_answer_does_not_are_taken_back(board, fault, tmp_path):
    both = AnnotationFile(tmp_path / "a.json", ("nuclei", "vessels"))
    both.path.write_text(json.dumps(NEW))
    for post in (
        lambda session: post_annotations(session, ITEM, NEW),
        lambda session: post_annotation_files(session, ITEM, [both]),
    ):
        board.girder.faults = [None, fault]
        with Session(board.girder.login) as session, pytest.raises(ServerError) as caught:
            post(session)
        assert set(board.named(ITEM)) == {"mine"}
        left = "what had arrived was taken back" if fault == "half" else "nothing of it is on"
        assert left in str(caught.value)


def test_layers_of_a_task_that_is_stopped_are_taken_back(board, monkeypatch):
    def stop(self, path, what, body):
        for each in body:
            board.put(ITEM, each)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "post_json", stop)
    with Session(board.girder.login) as session, pytest.raises(KeyboardInterrupt):
        post_annotations(session, ITEM, NEW)
    assert set(board.named(ITEM)) == {"mine"}


def test_where_nobody_knows_what_has_arrived_that_is_said(board, monkeypatch):
    monkeypatch.setattr(annotations, "HURRIED", Patience(first_wait_s=0.01, total_s=0.05))
    board.girder.faults = [None, *["half"] * 50]
    with (
        Session(board.girder.login) as session,
        pytest.raises(ServerError, match="look there, and remove it before trying again"),
    ):
        post_annotations(session, ITEM, NEW)


def files_of(folder, names):
    for name in names:
        path = folder / "a.json"
        path.write_text(json.dumps([{"name": name, "elements": []}]))
        yield AnnotationFile(path, (name,))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("fault", ["half", 500, "drop", 403])
def test_of_several_files_all_arrive_or_none(board, fault, number, tmp_path):
    board.girder.faults = [*[None] * (1 + number), fault]
    with Session(board.girder.login) as session, pytest.raises(ServerError):
        post_annotation_files(session, ITEM, files_of(tmp_path, "abcd"))
    assert set(board.named(ITEM)) == {"mine"}
    with Session(board.girder.login) as session:
        post_annotation_files(session, ITEM, files_of(tmp_path, "abcd"))
    assert set(board.named(ITEM)) == {"mine", *"abcd"}


def test_what_others_put_there_meanwhile_stays(board, tmp_path):
    def files():
        yield from files_of(tmp_path, "ab")
        board.put(ITEM, {"name": "drawn meanwhile", "elements": []})
        raise AnnotationError("c", "cannot be written")

    with Session(board.girder.login) as session, pytest.raises(AnnotationError):
        post_annotation_files(session, ITEM, files())
    assert set(board.named(ITEM)) == {"mine", "drawn meanwhile"}


def test_a_task_that_is_told_to_stop_between_two_files_takes_back(board, tmp_path, monkeypatch):
    asked = []

    def stop():
        asked.append(len(board.of(ITEM)))
        if len(asked) > 2:
            raise Stopped

    monkeypatch.setattr(annotations, "stop_if_asked", stop)
    with Session(board.girder.login) as session, pytest.raises(Stopped):
        post_annotation_files(session, ITEM, files_of(tmp_path, "abcd"))
    assert asked == [1, 2, 3]
    assert set(board.named(ITEM)) == {"mine"}
