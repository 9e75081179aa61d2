"""Annotations of an item on a Girder server, as the JSON that large_image stores."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from deeplab.errors import AccessDeniedError, ServerError, UnknownIdError
from deeplab.interrupt import stop_if_asked
from deeplab.server.folder_files import upload_to_item
from deeplab.server.items import item_files
from deeplab.server.replies import Told, each_told
from deeplab.server.session import Patience, Session, girder_id

# Girder takes 100 MB at once unless its server.max_request_body_size says more.
MOST_BYTES_AT_ONCE = 95_000_000
MOST_BYTES_HELD = 512 * 2**20  # an annotation of 500,000 outlines has about 350 MB
HURRIED = Patience(total_s=5.0)  # for a server that has just failed
ANNOTATIONS = "annotations"  # what a list should be of
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


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """Annotations in a file of HistomicsUI JSON, and their names."""

    path: Path
    names: tuple[str, ...]


def annotation_heads(session: Session, item_id: str) -> list[AnnotationHead]:
    """Return the annotations of an item without their elements.

    Raises:
        AccessDeniedError: the token may not read them.
        ServerError: the server refused or failed.
    """
    what = f"annotations of item {item_id}"
    query = {"itemId": girder_id("item", item_id), "limit": "0"}
    told = session.get_json("annotation", what, query)
    return [_head(each) for each in each_told(told, what, ANNOTATIONS)]


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
    """Add annotations to an item in one request, all of them or none as `post_annotation_files`.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: the server refused them or failed.
    """
    what = f"new annotations of item {item_id}"
    path = f"annotation/item/{girder_id('item', item_id)}"
    names = {str(each.get("name")) for each in annotations}
    with _all_or_none(session, item_id, names):
        session.post_json(path, what, list(annotations))


def post_annotation_files(session: Session, item_id: str, files: Iterable[AnnotationFile]) -> None:
    """Add the annotations in files of HistomicsUI JSON to an item, all of them or none.

    Where that is broken off, what has arrived of any file is taken back; where that is not known,
    the error says so.

    Args:
        session: with the right to write there.
        item_id: of the slide.
        files: each is asked for when the one before is on the server, and may take its place.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: the server refused them or failed.
        OSError: a file cannot be read.
        Stopped: the process was told to stop.
    """
    names: set[str] = set()
    with _all_or_none(session, item_id, names):
        for file in files:
            stop_if_asked()  # several take minutes; what has arrived goes, which takes seconds
            names.update(file.names)
            _post_file(session, item_id, file.path)


def _post_file(session: Session, item_id: str, path: Path) -> None:
    size_bytes = path.stat().st_size
    what = f"new annotation of {size_bytes / 1e6:.1f} MB for item {item_id}"
    if size_bytes <= MOST_BYTES_AT_ONCE:
        session.post_file(f"annotation/item/{girder_id('item', item_id)}", what, path)
    else:
        _post_in_pieces(session, item_id, path, what)


@contextmanager
def _all_or_none(session: Session, item_id: str, names: Collection[str]) -> Iterator[None]:
    """Take back what posts in the block have left on an item, where one is broken off.

    Args:
        session: with the right to write there.
        item_id: of the slide.
        names: of what is posted; others may put something there at the same time.
    """
    before = {head.id for head in annotation_heads(session, item_id)}
    try:
        yield
    except AccessDeniedError:
        _take_back(session, item_id, before, names)
        raise
    except ServerError as error:
        problem = f"{error.problem}; {_take_back(session, item_id, before, names)}"
        raise type(error)(error.what, problem) from error
    except BaseException:  # a task that is stopped takes back, too
        _take_back(session, item_id, before, names)
        raise


def _take_back(
    session: Session, item_id: str, before: Collection[str], names: Collection[str]
) -> str:
    """Remove what is new on an item and return what is there now, in words."""
    try:
        with Session(session.login, patience=HURRIED) as hurried:
            found = [
                head
                for head in annotation_heads(hurried, item_id)
                if head.id not in before and head.name in names
            ]
            for head in found:
                if head.is_as_made:
                    delete_annotation(hurried, head.id)
    except ServerError:
        return "some of it may be on the slide: look there, and remove it before trying again"
    return "nothing of it is on the slide" if not found else "what had arrived was taken back"


def _post_in_pieces(session: Session, item_id: str, path: Path, what: str) -> None:
    """Upload a file as HistomicsUI does: the server makes its annotations and removes the file."""
    me = Told.of(session.get_json("user/me", "the token's user"), what, "the token's user")
    images = item_files(session, item_id)
    if not images:
        raise ServerError(what, "the server does not say of which image")
    before = {head.id for head in annotation_heads(session, item_id)}
    # No other file of the item has this name, so that it is clear when it is gone.
    name = f"layer-{uuid4().hex}.json"
    reference = {
        "identifier": "LargeImageAnnotationUpload",
        "itemId": item_id,
        "fileId": images[0].id,
        "userId": me.id("_id"),
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


def _head(told: Told) -> AnnotationHead:
    annotation = told.part("annotation")
    attributes = annotation.parts.get("attributes")
    created = told.parts.get("created")
    return AnnotationHead(
        id=told.id("_id"),
        name=annotation.string("name"),
        attributes=attributes if isinstance(attributes, dict) else {},
        # Both times are those of its making until somebody saves it again.
        is_as_made=created is not None and created == told.parts.get("updated"),
    )
