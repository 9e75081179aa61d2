from __future__ import annotations

import pytest

from deeplab.errors import ServerError
from deeplab.server.annotations import (
    AnnotationHead,
    annotation_heads,
    get_annotation,
    item_annotations,
    post_annotations,
)
from deeplab.server.session import Session
from tests.girder_for_tests import FOLDER, ITEM, fake_girder

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
