"""Files of a folder of a Girder server: put there in pieces, listed by name, fetched, removed."""

from __future__ import annotations

import json
import shutil
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from deeplab.errors import AccessDeniedError, ServerError, UnknownIdError
from deeplab.server.items import Item, ItemFile, folder_items, item_files
from deeplab.server.replies import Told
from deeplab.server.session import Session, girder_id

PACKED_AS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # as Girder does
COPIED_BYTES = 2**20  # at once
MAY_WRITE = 1  # Girder's level of access


class Parent(NamedTuple):
    """What a file is put into: "folder" or "item", and its id."""

    kind: str
    id: str


def check_folder_writable(session: Session, folder_id: str) -> None:
    """Refuse a folder before the work whose results are to go there.

    Raises:
        AccessDeniedError: the token may not read it, or not write to it.
        ServerError: there is no such folder, or the server failed.
    """
    what = f"folder {folder_id}"
    told = session.girder(what).getFolder(girder_id("folder", folder_id))
    if Told.of(told, what, "a folder").count("_accessLevel", least=-1) < MAY_WRITE:
        raise AccessDeniedError(what, "the token may only read it; ask its owner for write access")


def named_items(session: Session, folder_id: str, prefix: str) -> list[Item]:
    """Return the items of a folder whose names begin with `prefix`, by name.

    Raises:
        AccessDeniedError: the token may not read the folder.
        ServerError: there is no such folder, or the server failed.
    """
    found = (item for item in folder_items(session, folder_id) if item.name.startswith(prefix))
    return sorted(found, key=lambda item: item.name)


def upload_file(
    session: Session,
    folder_id: str,
    path: Path,
    *,
    name: str,
    after_piece: Callable[[], None],
) -> str:
    """Put a file that is not empty into a folder as an item `name`; returns the item's id.

    Girder makes the item when it has all bytes, so the item is whole or not there. After a broken
    connection the upload goes on where the server says. `after_piece` may raise to give it up.

    Raises:
        AccessDeniedError: the token may not write to the folder.
        ServerError: the server refused it or failed again and again.
        OSError: the file cannot be read.
    """
    size_bytes = path.stat().st_size
    told = _send(session, path, name, Parent("folder", folder_id), after_piece=after_piece)
    return _uploaded(session, folder_id, told, name, size_bytes)


def upload_to_item(
    session: Session, item_id: str, path: Path, *, name: str, reference: Mapping[str, str]
) -> None:
    """Put a file that is not empty into an item; `reference` tells the server what to do with it.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: the server refused it or failed again and again.
        OSError: the file cannot be read.
    """
    parent = Parent("item", item_id)
    _send(session, path, name, parent, reference=json.dumps(dict(reference)))


def _send(
    session: Session,
    path: Path,
    name: str,
    parent: Parent,
    *,
    reference: str | None = None,
    after_piece: Callable[[], None] = lambda: None,
) -> Told:
    """Send a file in pieces; what the last one answers."""
    what = f"upload of {name}"
    with path.open("rb") as file:
        told = session.girder(what).uploadFile(
            girder_id(parent.kind, parent.id),
            file,
            name,
            path.stat().st_size,
            parentType=parent.kind,
            progressCallback=lambda _: after_piece(),
            reference=reference,
        )
    return Told.of(told, what, "a file")


def _uploaded(session: Session, folder_id: str, told: Told, name: str, size_bytes: int) -> str:
    """Return the item of a finished upload: the answer to its last piece says it, if it arrived."""
    if "itemId" in told.parts:
        return told.id("itemId")
    for item in named_items(session, folder_id, name):
        if (item.name, item.size_bytes) == (name, size_bytes):
            return item.id
    raise ServerError(told.what, "it is not in the folder after all bytes were sent")


def download_item(session: Session, item: Item, to: Path, *, limit_bytes: int) -> None:
    """Write the one file of an item to `to`.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: it has not one file, or one of more than `limit_bytes`, or the server failed.
        OSError: the file cannot be written.
    """
    files = item_files(session, item.id)
    if len(files) != 1:
        raise ServerError(f"item {item.name}", f"has {len(files)} files instead of one")
    download_file(session, files[0], to, limit_bytes=limit_bytes)


def download_file(session: Session, file: ItemFile, to: Path, *, limit_bytes: int) -> None:
    """Write a file to `to`.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: it has more than `limit_bytes`, or the server failed.
        OSError: the file cannot be written.
    """
    what = f"file {file.name}"
    if file.size_bytes > limit_bytes:
        raise ServerError(what, f"has more than {limit_bytes:,} bytes")
    if _is_sent_in_a_zip_only(file.name):
        _download_zipped(session, file, to, limit_bytes=limit_bytes)
    else:
        session.download(f"file/{file.id}/download", what, to=to, limit_bytes=limit_bytes)
    if to.stat().st_size != file.size_bytes:
        raise ServerError(what, f"has {file.size_bytes:,} bytes, but others arrived")


def _is_sent_in_a_zip_only(name: str) -> bool:
    """Return whether Girder 3 fails to send a file of this name, for a letter such as ß or ø in it.

    It puts such into a header as Latin-1 and reads that as UTF-8 (girder.api.rest, 3.2).
    """
    latin = unicodedata.normalize("NFKD", name).encode("iso8859-1", "ignore")
    return latin.decode(errors="ignore") != latin.decode("iso8859-1")


def _download_zipped(session: Session, file: ItemFile, to: Path, *, limit_bytes: int) -> None:
    what = f"file {file.name}"
    packed = to.with_name(f"{file.id}.zip")
    session.download(
        "resource/download",
        what,
        to=packed,
        limit_bytes=limit_bytes,
        params={"resources": json.dumps({"item": [file.item_id]})},
    )
    try:
        # Girder writes names in UTF-8 and does not mark them so.
        with zipfile.ZipFile(packed, metadata_encoding="utf-8") as archive:
            entries = [
                each
                for each in archive.infolist()
                if each.filename.endswith(file.name)
                and each.file_size == file.size_bytes
                and each.compress_type in PACKED_AS
            ]
            if not entries:
                raise ServerError(what, "is not in what the server sent")
            with archive.open(entries[0]) as source, to.open("wb") as target:
                shutil.copyfileobj(source, target, COPIED_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise ServerError(what, "the server sent no zip that can be read") from error
    finally:
        packed.unlink(missing_ok=True)


def remove_item(session: Session, item: Item) -> None:
    """Remove an item; one that is gone already is no error.

    Raises:
        AccessDeniedError: the token may not remove it.
        ServerError: the server failed.
    """
    try:
        session.delete(f"item/{item.id}", f"item {item.name}")
    except UnknownIdError:
        return
