from __future__ import annotations

import json

import pytest

from deeplab.errors import ServerError
from deeplab.server import annotations, folder_files
from deeplab.server.annotations import (
    AnnotationHead,
    annotation_heads,
    get_annotation,
    item_annotations,
    post_annotation_file,
    post_annotations,
)
from deeplab.server.session import Session
from tests.girder_for_tests import FOLDER, ITEM, Board, Bodied, fake_girder

WHOLE = {"_id": FOLDER, "annotation": {"name": "tumour", "elements": []}}


def test_annotations_are_listed_and_read():
    routes = {
        "annotation": [WHOLE],
        f"annotation/{FOLDER}": WHOLE,
        f"annotation/item/{ITEM}": [WHOLE, WHOLE],
    }
    with fake_girder(routes=routes) as girder, Session(girder.login) as session:
        assert annotation_heads(session, ITEM) == [AnnotationHead(FOLDER, "tumour")]
        assert girder.asked[-1][1] == {"itemId": ITEM, "limit": "0"}
        assert get_annotation(session, FOLDER) == WHOLE
        assert item_annotations(session, ITEM) == [WHOLE, WHOLE]


def test_annotations_are_posted_together():
    new = [{"name": "a", "elements": []}, {"name": "b", "elements": []}]
    with fake_girder(routes={f"annotation/item/{ITEM}": {"n": 2}}) as girder:
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
    monkeypatch.setattr(folder_files, "PIECE_BYTES", 20)
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"name": "nuclei", "elements": []}]))
    return path


def test_what_is_too_large_for_one_request_goes_up_in_pieces(large_file):
    with fake_girder() as girder, Session(girder.login) as session:
        server = Uploads(girder)
        post_annotation_file(session, ITEM, large_file)
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
            post_annotation_file(session, ITEM, large_file)
    monkeypatch.setattr(annotations, "WAIT_S", 0.0)
    with fake_girder() as girder, Session(girder.login) as session:
        Uploads(girder, requests=10_000)
        with pytest.raises(ServerError, match=r"has not yet made it of its file layer-\w+\.json"):
            post_annotation_file(session, ITEM, large_file)
