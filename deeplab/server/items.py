"""Items of a Girder server, the folders that hold them and the files in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deeplab.errors import ServerError, UnknownIdError
from deeplab.server.session import Session, girder_id

PAGE = 500  # items asked for at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of a folder; `is_large_image` says that the server has tiles of it.

    `image_file_id` is the file that they are of. `words` are those of its metadata that are text
    or numbers, by name in small letters.
    """

    id: str
    name: str
    folder_id: str
    size_bytes: int
    is_large_image: bool
    image_file_id: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFile:
    """A file of an item; `created` is when its content was put there, as the server writes it."""

    id: str
    name: str
    size_bytes: int
    item_id: str = ""
    created: str = ""


def get_item(session: Session, item_id: str) -> Item:
    """One item.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such item, or the server failed.
    """
    what = f"item {item_id}"
    return _item(session.get_json(f"item/{girder_id('item', item_id)}", what), what)


def item_with(session: Session, any_id: str) -> Item:
    """The item of this id, or the item that the file of this id belongs to.

    HistomicsUI hands over the id of the open slide's file, people that of the item.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such item or file, or the server failed.
    """
    what = f"item or file {any_id}"
    try:
        file = session.get_json(f"file/{girder_id('file', any_id)}", what)
    except UnknownIdError:
        return get_item(session, any_id)
    if not isinstance(file, dict):
        raise ServerError(what, "the server's answer is not a file")
    return get_item(session, str(file.get("itemId")))


def folder_items(session: Session, folder_id: str) -> Iterator[Item]:
    """The items of a folder by name; those of folders in it are not among them.

    Raises:
        AccessDeniedError: the token may not read the folder.
        ServerError: there is no such folder, or the server failed.
    """
    what = f"items of folder {folder_id}"
    query = {"folderId": girder_id("folder", folder_id), "limit": str(PAGE), "sort": "name"}
    offset = 0
    while True:
        page = _list(session.get_json("item", what, {**query, "offset": str(offset)}), what)
        yield from (_item(told, what) for told in page)
        offset += len(page)
        if len(page) < PAGE:
            return


def large_image_items(session: Session, folder_id: str) -> list[Item]:
    """The items of a folder that are slides, by name.

    Raises:
        AccessDeniedError: the token may not read the folder.
        ServerError: there is no such folder, or the server failed.
    """
    return [item for item in folder_items(session, folder_id) if item.is_large_image]


def item_files(session: Session, item_id: str) -> list[ItemFile]:
    """The files of an item.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such item, or the server failed.
    """
    what = f"files of item {item_id}"
    path = f"item/{girder_id('item', item_id)}/files"
    files = _list(session.get_json(path, what, {"limit": "0"}), what)
    try:
        return [
            ItemFile(
                id=_id(told),
                name=str(told["name"]),
                size_bytes=int(told.get("size") or 0),
                item_id=item_id,
                created=str(told.get("created") or ""),
            )
            for told in files
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServerError(what, "the server's answer is not a list of files") from error


def put_metadata(session: Session, item_id: str, metadata: Mapping[str, object]) -> None:
    """Set some keys of an item's metadata; its other keys stay.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: there is no such item, or the server refused it or failed.
    """
    path = f"item/{girder_id('item', item_id)}/metadata"
    session.put_json(path, f"metadata of item {item_id}", dict(metadata))


def _item(told: Any, what: str) -> Item:  # noqa: ANN401  JSON
    if not isinstance(told, dict):
        raise ServerError(what, "the server's answer is not an item")
    image = told.get("largeImage")
    try:
        return Item(
            id=_id(told),
            name=str(told["name"]),
            folder_id=girder_id("folder", str(told["folderId"])),
            size_bytes=int(told.get("size") or 0),
            # While the server still converts the image, the file that has tiles is not there yet.
            is_large_image=isinstance(image, dict)
            and "fileId" in image
            and not image.get("expected"),
            image_file_id=str(image.get("fileId", "")) if isinstance(image, dict) else "",
            words=_words(told.get("meta")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(what, "the server's answer is not an item") from error


def _words(meta: object) -> dict[str, str]:
    return {
        str(key).strip().lower(): str(value).strip()
        for key, value in (meta.items() if isinstance(meta, dict) else ())
        if isinstance(value, str | int | float)
    }


def _id(told: dict[str, Any]) -> str:
    return girder_id("id", str(told["_id"]))


def _list(told: object, what: str) -> list[dict[str, Any]]:
    if not isinstance(told, list):
        raise ServerError(what, "the server's answer is not a list")
    return told
