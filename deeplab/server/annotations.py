"""Annotations of an item on a Girder server, as the JSON that large_image stores."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from deeplab.errors import ServerError, UnknownIdError
from deeplab.server.folder_files import upload_to_item
from deeplab.server.items import item_files
from deeplab.server.session import Session, girder_id

# Girder takes 100 MB at once unless its server.max_request_body_size says more.
MOST_BYTES_AT_ONCE = 95_000_000
WAIT_S, ASK_EVERY_S = 60.0, 1.0  # until the server has made annotations of an uploaded file
TAKEN_BYTES_PER_S = 2e5  # the least it does meanwhile


@dataclass(frozen=True, slots=True)
class AnnotationHead:
    """An annotation without its elements.

    `is_as_made` says that nobody has changed it since it was put there.
    """

    id: str
    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    is_as_made: bool = False


def annotation_heads(session: Session, item_id: str) -> list[AnnotationHead]:
    """The annotations of an item without their elements.

    Raises:
        AccessDeniedError: the token may not read them.
        ServerError: the server refused or failed.
    """
    what = f"annotations of item {item_id}"
    query = {"itemId": girder_id("item", item_id), "limit": "0"}
    try:
        return [_head(told) for told in _dicts(session.get_json("annotation", what, query), what)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
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


def download_annotations(session: Session, item_id: str, to: Path, *, limit_bytes: int) -> None:
    """Write all annotations of an item to the file `to`, as a JSON list.

    Raises:
        AccessDeniedError: the token may not read them.
        ServerError: the server refused or failed, or has more than `limit_bytes`.
        OSError: the file cannot be written.
    """
    what = f"annotations of item {item_id}"
    path = f"annotation/item/{girder_id('item', item_id)}"
    session.download(path, what, to=to, limit_bytes=limit_bytes)


def post_annotations(session: Session, item_id: str, annotations: Sequence[dict[str, Any]]) -> None:
    """Add annotations to an item, all in one request.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: the server refused them or failed; it may have stored some.
    """
    what = f"new annotations of item {item_id}"
    path = f"annotation/item/{girder_id('item', item_id)}"
    session.post_json(path, what, list(annotations))


def post_annotation_file(session: Session, item_id: str, path: Path) -> None:
    """Add the annotations in a file of HistomicsUI JSON to an item.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: the server refused them or failed; it may have stored some.
        OSError: the file cannot be read.
    """
    size_bytes = path.stat().st_size
    what = f"new annotation of {size_bytes / 1e6:.1f} MB for item {item_id}"
    if size_bytes <= MOST_BYTES_AT_ONCE:
        session.post_file(f"annotation/item/{girder_id('item', item_id)}", what, path)
    else:
        _post_in_pieces(session, item_id, path, what)


def _post_in_pieces(session: Session, item_id: str, path: Path, what: str) -> None:
    """Upload a file as HistomicsUI does: the server makes its annotations and removes the file."""
    me = session.get_json("user/me", "the token's user")
    images = item_files(session, item_id)
    if not isinstance(me, dict) or not images:
        raise ServerError(what, "the server says neither who asks nor of which image")
    before = {head.id for head in annotation_heads(session, item_id)}
    # No other file of the item has this name, so that it is clear when it is gone.
    name = f"layer-{uuid4().hex}.json"
    reference = {
        "identifier": "LargeImageAnnotationUpload",
        "itemId": item_id,
        "fileId": images[0].id,
        "userId": girder_id("user", str(me.get("_id"))),
    }
    upload_to_item(session, item_id, path, name=name, reference=reference)
    deadline_s = time.monotonic() + WAIT_S + path.stat().st_size / TAKEN_BYTES_PER_S
    while any(file.name == name for file in item_files(session, item_id)):
        if time.monotonic() > deadline_s:
            raise ServerError(what, f"the server has not yet made it of its file {name}")
        time.sleep(ASK_EVERY_S)
    if not {head.id for head in annotation_heads(session, item_id)} - before:
        raise ServerError(what, "the server could not make it of its file; its log says why")


def delete_annotation(session: Session, annotation_id: str) -> None:
    """Remove an annotation from its item; one that is gone already is no error.

    Raises:
        AccessDeniedError: the token may not.
        ServerError: the server refused or failed.
    """
    path = f"annotation/{girder_id('annotation', annotation_id)}"
    try:
        session.delete(path, f"annotation {annotation_id}")
    except UnknownIdError:
        return


def _head(told: dict[str, Any]) -> AnnotationHead:
    attributes = told["annotation"].get("attributes")
    return AnnotationHead(
        id=girder_id("id", told["_id"]),
        name=str(told["annotation"]["name"]),
        attributes=attributes if isinstance(attributes, dict) else {},
        # Both times are those of its making until somebody saves it again.
        is_as_made="created" in told and told["created"] == told.get("updated"),
    )


def _dicts(told: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(told, list) or not all(isinstance(each, dict) for each in told):
        raise ServerError(what, "the server's answer is not a list of annotations")
    return told
