"""Items of a Girder server, the folders that hold them and the files in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from deeplab.errors import UnknownIdError
from deeplab.names import shown_name
from deeplab.server.replies import Told, each_told
from deeplab.server.session import Session, girder_id

ITEM = "an item"  # what an answer should be
LONGEST_NUMBER = 2**63  # of metadata


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


class ChildFolder(NamedTuple):
    """A folder in another one."""

    id: str
    name: str


def get_item(session: Session, item_id: str) -> Item:
    """Return one item.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such item, or the server failed.
    """
    what = f"item {item_id}"
    return _item(Told.of(session.girder(what).getItem(girder_id("item", item_id)), what, ITEM))


def item_with(session: Session, any_id: str) -> Item:
    """Return the item of this id, or the item that the file of this id belongs to.

    HistomicsUI hands over the id of the open slide's file, people that of the item.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such item or file, or the server failed.
    """
    what = f"item or file {any_id}"
    try:
        file = session.girder(what).getFile(girder_id("file", any_id))
    except UnknownIdError:
        return get_item(session, any_id)
    return get_item(session, Told.of(file, what, "a file").id("itemId"))


def folder_items(session: Session, folder_id: str) -> Iterator[Item]:
    """Yield the items of a folder by name; those of folders in it are not among them.

    Raises:
        AccessDeniedError: the token may not read the folder.
        ServerError: there is no such folder, or the server failed.
    """
    what = f"items of folder {folder_id}"
    items = session.girder(what).listItem(girder_id("folder", folder_id))
    for told in items:
        yield _item(Told.of(told, what, ITEM))


def child_folders(session: Session, folder_id: str) -> list[ChildFolder]:
    """Return the folders in a folder, by name.

    Raises:
        AccessDeniedError: the token may not read the folder.
        ServerError: there is no such folder, or the server failed.
    """
    what = f"folders in folder {folder_id}"
    found = list(session.girder(what).listFolder(girder_id("folder", folder_id)))
    folders = [ChildFolder(t.id("_id"), t.name()) for t in each_told(found, what, "folders")]
    return sorted(folders, key=lambda folder: folder.name)


def large_image_items(session: Session, folder_id: str) -> list[Item]:
    """Return the items of a folder that are slides, by name.

    Raises:
        AccessDeniedError: the token may not read the folder.
        ServerError: there is no such folder, or the server failed.
    """
    return [item for item in folder_items(session, folder_id) if item.is_large_image]


def item_files(session: Session, item_id: str) -> list[ItemFile]:
    """Return the files of an item.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: there is no such item, or the server failed.
    """
    what = f"files of item {item_id}"
    files = list(session.girder(what).listFile(girder_id("item", item_id)))
    return [
        ItemFile(
            id=told.id("_id"),
            name=told.name(),
            size_bytes=told.size_bytes(),
            item_id=item_id,
            created=told.text("created"),
        )
        for told in each_told(files, what, "files")
    ]


def file_size(session: Session, file_id: str) -> int | None:
    """Return the bytes of a file; None where it is gone.

    Raises:
        AccessDeniedError: the token may not read it.
        ServerError: the server failed.
    """
    what = f"file {file_id}"
    try:
        told = session.girder(what).getFile(girder_id("file", file_id))
    except UnknownIdError:
        return None
    return Told.of(told, what, "a file").size_bytes()


def put_metadata(session: Session, item_id: str, metadata: Mapping[str, object]) -> None:
    """Set some keys of an item's metadata; its other keys stay.

    Raises:
        AccessDeniedError: the token may not write to the item.
        ServerError: there is no such item, or the server refused it or failed.
    """
    client = session.girder(f"metadata of item {item_id}")
    client.addMetadataToItem(girder_id("item", item_id), dict(metadata))


def _item(told: Told) -> Item:
    image = told.parts.get("largeImage")
    image = image if isinstance(image, dict) else {}
    return Item(
        id=told.id("_id"),
        name=told.name(),
        folder_id=told.id("folderId"),
        size_bytes=told.size_bytes(),
        # While the server still converts the image, the file that has tiles is not there yet.
        is_large_image="fileId" in image and not image.get("expected"),
        image_file_id=str(image.get("fileId", ""))[:24],
        words=_words(told.parts.get("meta")),
    )


def _words(meta: object) -> dict[str, str]:
    return {
        shown_name(key).strip().lower(): shown_name(str(value)).strip()
        for key, value in (meta.items() if isinstance(meta, dict) else ())
        if isinstance(value, str | float)
        or (isinstance(value, int) and abs(value) < LONGEST_NUMBER)
    }
