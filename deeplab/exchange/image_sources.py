"""Where images lie that are labelled as a whole: on the disk, or in a folder of a Girder server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from deeplab.errors import SourceError
from deeplab.exchange.beside import SLIDES, is_mask, plain_name, split_name
from deeplab.exchange.samples import files_in, path_at, slide_items
from deeplab.files import scratch_folder
from deeplab.names import shown_name
from deeplab.report.words import listed
from deeplab.server.folder_files import download_file
from deeplab.server.items import Item, child_folders, folder_items, item_files
from deeplab.server.session import Session

TABLE = ".csv"
MAX_BYTES = 2**28  # of a table on a server


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """An image, and what is known of it besides its labels.

    Attributes:
        name: by which messages call it.
        source: path, or id of a Girder item.
        metadata: words of the item, as its mpp, patient and split; of a file there are none.
    """

    name: str
    source: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class ImageSource(Protocol):
    """A table or a folder of images; as text, what messages call it."""

    def images(self) -> Sequence[ImageFile]:
        """Return the images of the folder, by name.

        Raises:
            SourceError: it is none.
            ServerError: the server that has it refuses or fails.
        """

    def folders(self) -> Iterator[tuple[str, Sequence[ImageFile]]]:
        """Yield the name of each folder in the folder, and its images.

        Raises:
            SourceError, ServerError: as `images` does.
        """

    def read_table(self) -> tuple[str, str]:
        """Return what messages call the table, and its text.

        Raises:
            SourceError: there is not one that can be read.
            ServerError: as `images` does.
        """

    def find(self, name: str) -> ImageFile:
        """Return the image that a table calls so.

        Raises:
            SourceError: there is not one; the sentence says what there is not.
            ServerError: as `images` does.
        """


class DiskImages:
    """Images in a folder, or in the folder of a table: an `ImageSource`.

    Args:
        path: of the folder, or of the table.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def images(self) -> Sequence[ImageFile]:
        """See `ImageSource`."""
        self._check_folder()
        return [_file(path, path.name) for path in images_in(self._path)]

    def folders(self) -> Iterator[tuple[str, Sequence[ImageFile]]]:
        """See `ImageSource`."""
        self._check_folder()
        for folder in sorted(each for each in self._path.iterdir() if each.is_dir()):
            yield folder.name, [_file(path, path.name) for path in images_in(folder)]

    def read_table(self) -> tuple[str, str]:
        """See `ImageSource`."""
        try:
            return str(self), self._path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise unreadable(str(self)) from error

    def find(self, name: str) -> ImageFile:
        """See `ImageSource`."""
        path = path_at(self._path.parent / name)
        if not path.is_file():
            raise SourceError(f"there is no file {path}")
        return _file(path, name)

    def _check_folder(self) -> None:
        if not self._path.is_dir():
            raise SourceError(f"there is no folder {self._path}")


class GirderImages:
    """Images in a folder of a Girder server that has tiles of them: an `ImageSource`.

    Its table is the one CSV that the folder holds.

    Args:
        session: of the server.
        folder_id: of the folder.
    """

    def __init__(self, session: Session, folder_id: str) -> None:
        self._session, self._id = session, folder_id

    def __str__(self) -> str:
        return f"folder {self._id}"

    def images(self) -> Sequence[ImageFile]:
        """See `ImageSource`."""
        return [_item(each) for each in slide_items(self._session, self._id)]

    def folders(self) -> Iterator[tuple[str, Sequence[ImageFile]]]:
        """See `ImageSource`."""
        for folder in child_folders(self._session, self._id):
            yield folder.name, [_item(each) for each in slide_items(self._session, folder.id)]

    def read_table(self) -> tuple[str, str]:
        """See `ImageSource`."""
        tables = [
            file
            for item in folder_items(self._session, self._id)
            if split_name(item.name)[1] == TABLE
            for file in item_files(self._session, item.id)
        ]
        if len(tables) != 1:
            there = listed([file.name for file in tables]) if tables else "none"
            raise SourceError(
                f"{self} must hold one table of labels (CSV) beside its images; it has {there}"
            )
        name = tables[0].name
        with scratch_folder() as folder:
            path = folder / "table.csv"
            download_file(self._session, tables[0], path, limit_bytes=MAX_BYTES)
            try:
                return name, path.read_text(encoding="utf-8-sig")
            except UnicodeDecodeError as error:
                raise unreadable(name) from error

    def find(self, name: str) -> ImageFile:
        """See `ImageSource`."""
        found = self._by_name.get(plain_name(name), [])
        if len(found) != 1:
            count = f"{len(found)} images" if found else "no image"
            raise SourceError(f"{self} has {count} {name}")
        return found[0]

    @cached_property
    def _by_name(self) -> Mapping[str, Sequence[ImageFile]]:
        """The images by plain name; of one name there may be several."""
        by_name: dict[str, list[ImageFile]] = {}
        for item in folder_items(self._session, self._id):
            if item.is_large_image:
                by_name.setdefault(plain_name(item.name), []).append(_item(item))
        return by_name


def images_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name, without masks.

    Raises:
        SourceError: it cannot be read.
    """
    files = files_in(folder)
    return [p for p in files if split_name(p.name)[1] in SLIDES and not is_mask(p.name)]


def unreadable(table: str) -> SourceError:
    """Return the error on a table that is none."""
    return SourceError(f"{table} is not a table that can be read: a CSV in UTF-8")


def _file(path: Path, name: str) -> ImageFile:
    return ImageFile(name=shown_name(name), source=str(path))


def _item(item: Item) -> ImageFile:
    return ImageFile(name=item.name, source=item.id, metadata=item.words)
