"""Files of annotations on a Girder server, and the slides they are about."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deeplab.errors import OutputError, ServerError, SourceError, UnknownIdError, UnreachableError
from deeplab.exchange.beside import (
    ANNOTATIONS,
    is_mask,
    names_beside,
    plain_name,
    slides_by_file,
    split_name,
)
from deeplab.exchange.beside import unclear as unclear_sentence
from deeplab.exchange.packed import ZIP
from deeplab.exchange.shared_files import SharedFile, may_list_slides
from deeplab.files import safe_name
from deeplab.server.folder_files import download_file
from deeplab.server.items import Item, ItemFile, folder_items, item_files, item_with
from deeplab.server.session import Session

MAX_BYTES = 2**30  # of a file that is only looked into
NUMBER = re.compile(r" \(\d+\)$")  # what Girder adds to the name of a second file of one name


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOfSlide:
    """A file of annotations of a slide, and the item that holds it.

    `at_hand` is where it was brought to, as one that is about several slides is.
    """

    slide: Item
    item: Item
    file: ItemFile
    at_hand: Path | None = None

    @property
    def name(self) -> str:
        """What a person finds it by."""
        same = self.file.name == self.item.name
        return self.file.name if same else f"{self.item.name}/{self.file.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesFound:
    """The slides asked for, their files of annotations, and sentences about others.

    Attributes:
        slides: by name.
        files: those of a slide together.
        unclear: sentences about files that are not taken, though they may be about these slides.
    """

    slides: Sequence[Item]
    files: Sequence[FileOfSlide]
    unclear: Sequence[str] = ()


def find_files(session: Session, any_id: str, folder: Path) -> FilesFound:
    """Return the files of annotations of a slide or of all slides of a folder.

    They lie in the same folder under the name of the slide, with its suffix or without, or in the
    slide's own item; or a file there that is called after no slide lists it.

    Args:
        session: with the right to read there.
        any_id: of a folder, of a slide's item or of its file.
        folder: for files that may list slides; it must outlive what is found.

    Raises:
        SourceError: it holds no slide, or is the id of an item that is none.
        AccessDeniedError, ServerError: the server refuses or fails.
        OutputError: there is no room for a file.
    """
    try:
        items = list(folder_items(session, any_id))
        asked = [item for item in items if _is_slide(item)]
    except UnknownIdError:
        item = item_with(session, any_id)
        if not _is_slide(item):
            raise SourceError(f"{item.name} is no slide; choose its slide or the folder") from None
        items, asked = list(folder_items(session, item.folder_id)), [item]
    if not asked:
        raise SourceError(f"the folder {any_id} holds no slide, only {len(items)} other items")
    fitting = _fitting([item for item in items if _is_slide(item)])
    holders: dict[str, list[Item]] = defaultdict(list)
    unclear: list[str] = []
    stray: list[Item] = []
    for item in (each for each in items if not _is_slide(each)):
        slides = fitting.get(plain_name(item.name), [])
        first = NUMBER.sub("", item.name)
        if len(slides) == 1:
            holders[slides[0].id].append(item)
        elif any(slide in asked for slide in slides):
            unclear.append(unclear_sentence(item.name, [slide.name for slide in slides]))
        elif first != item.name and any(s in asked for s in fitting.get(plain_name(first), [])):
            unclear.append(_second(item.name, first))
        elif not slides and may_list_slides(item.name):
            stray.append(item)
    files = [file for slide in asked for file in _files_of(session, slide, holders[slide.id])]
    for item in stray:
        files += _listing(session, item, asked, folder, unclear)
    newest = list(_newest(files))
    unclear += [_older(each.name) for each in files if each not in newest]
    return FilesFound(slides=asked, files=newest, unclear=unclear)


def _listing(
    session: Session, item: Item, slides: Sequence[Item], folder: Path, unclear: list[str]
) -> Iterator[FileOfSlide]:
    """The files of an item by the slides that they list; `unclear` grows by what cannot be read."""
    for file in item_files(session, item.id):
        if not may_list_slides(file.name):
            continue
        path = folder / file.id / safe_name(file.name)
        try:
            path.parent.mkdir(exist_ok=True)
            download_file(session, file, path, limit_bytes=MAX_BYTES)
        except UnreachableError:
            raise
        except ServerError as error:
            unclear.append(f"{file.name} was not looked into: {error.problem}")
            continue
        except OSError as error:
            raise OutputError(path, error.strerror or str(error)) from error
        shared = SharedFile(path)
        for slide in slides:
            if shared.lists(slide.name):
                yield FileOfSlide(slide=slide, item=item, file=file, at_hand=path)


def _newest(files: Sequence[FileOfSlide]) -> Iterator[FileOfSlide]:
    """Of files of one name in one place, which Girder allows, the one that came last."""
    by_place: dict[tuple[str, str, str], list[FileOfSlide]] = defaultdict(list)
    for each in files:
        by_place[each.slide.id, each.item.name, each.file.name].append(each)
    for several in by_place.values():
        yield max(several, key=lambda each: (each.file.created, each.file.id))


def _older(name: str) -> str:
    return f"an older {name} was not taken, as there is a newer one; remove the older"


def _second(name: str, first: str) -> str:
    return (
        f"{name} was not taken; the server calls a file so that is put beside another {first}:"
        f" remove the one that is out of date and call the other {first}"
    )


def _is_slide(item: Item) -> bool:
    return item.is_large_image and not is_mask(item.name)


def _fitting(slides: Sequence[Item]) -> dict[str, list[Item]]:
    """Return the slides that a file may be about, by its plain name."""
    called: dict[str, list[Item]] = defaultdict(list)
    for slide in slides:
        called[slide.name].append(slide)
    by_file = slides_by_file(called, ANNOTATIONS)
    return {file: [s for name in names for s in called[name]] for file, names in by_file.items()}


def _files_of(session: Session, slide: Item, holders: Sequence[Item]) -> list[FileOfSlide]:
    return [
        FileOfSlide(slide=slide, item=item, file=file)
        for item in (*holders, slide)
        for file in sorted(item_files(session, item.id), key=lambda file: file.name)
        if file.id != slide.image_file_id and _is_read(file.name, slide.name)
    ]


def _is_read(name: str, slide: str) -> bool:
    """Return whether a file is one of annotations; pictures and zips are by their names."""
    suffix = split_name(name)[1]
    if suffix == ZIP:
        return plain_name(name) in names_beside(slide, ANNOTATIONS)
    return is_mask(name) or suffix in ANNOTATIONS
