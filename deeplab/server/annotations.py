"""Annotations of an item on a Girder server, as the JSON that large_image stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deeplab.errors import ServerError
from deeplab.server.session import Session, girder_id


@dataclass(frozen=True, slots=True)
class AnnotationHead:
    """An annotation without its elements."""

    id: str
    name: str


def annotation_heads(session: Session, item_id: str) -> list[AnnotationHead]:
    """The annotations of an item, by id and name.

    Raises:
        AccessDeniedError: the token may not read them.
        ServerError: the server refused or failed.
    """
    what = f"annotations of item {item_id}"
    query = {"itemId": girder_id("item", item_id), "limit": "0"}
    try:
        return [
            AnnotationHead(girder_id("id", told["_id"]), str(told["annotation"]["name"]))
            for told in _dicts(session.get_json("annotation", what, query), what)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(what, "the server's answer is not a list of annotations") from error


def get_annotation(session: Session, annotation_id: str) -> dict[str, Any]:
    """One annotation whole, its elements under `annotation`.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: the server refused or failed.
    """
    what = f"annotation {annotation_id}"
    told = session.get_json(f"annotation/{girder_id('annotation', annotation_id)}", what)
    return _dicts([told], what)[0]


def item_annotations(session: Session, item_id: str) -> list[dict[str, Any]]:
    """All annotations of an item, whole.

    Raises:
        AccessDeniedError: the token may not read them.
        ServerError: the server refused or failed.
    """
    what = f"annotations of item {item_id}"
    path = f"annotation/item/{girder_id('item', item_id)}"
    return _dicts(session.get_json(path, what), what)


def post_annotations(session: Session, item_id: str, annotations: Sequence[dict[str, Any]]) -> None:
    """Add annotations to an item, all in one request.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: the server refused them or failed; it may have stored some.
    """
    what = f"new annotations of item {item_id}"
    path = f"annotation/item/{girder_id('item', item_id)}"
    session.post_json(path, what, list(annotations))


def delete_annotation(session: Session, annotation_id: str) -> None:
    """Remove an annotation from its item.

    Raises:
        AccessDeniedError: the token may not.
        ServerError: the server refused or failed.
    """
    path = f"annotation/{girder_id('annotation', annotation_id)}"
    session.delete(path, f"annotation {annotation_id}")


def _dicts(told: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ServerError(what, "the server's answer is not a list of annotations")
    return told
