"""The directories of a TIFF, walked through without any of its readers.

A TIFF is a chain of directories of tags, with chains of further levels hanging on them; the format
is of 1992 (revision 6.0) and BigTIFF of 2007. Readers follow such chains before anything can stop
them: in circles, through millions of directories, or over tags that claim more than there is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deeplab.errors import UnreadableSlideError
from deeplab.slides.limits import MAX_DIRECTORIES, MAX_TAG_BYTES, MAX_TAGS

# Bytes of a value, by the number of its type.
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
TYPE_BYTES |= {16: 8, 17: 8, 18: 8}
INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
SUBIFDS = 330
BIG = 43  # the version number of BigTIFF
FEW = 64  # integers are read at once only from tags that hold not more


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: the number of its type, how many values it has, and where in the file they begin."""

    type: int
    count: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return self.count * TYPE_BYTES.get(self.type, 0)  # what is of no known type, none reads


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one image in a TIFF, by their codes, and the values of those that are short."""

    order: str
    tags: dict[int, Tag]
    values: dict[int, tuple[int, ...]]

    def first(self, code: int, default: int = 0) -> int:
        """Return the first integer of a tag."""
        return (self.values.get(code) or (default,))[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """How numbers are written: `order` of bytes, sizes of counts and of offsets.

    Hamamatsu's files are of 1992 with offsets of 8 bytes: those of tags have their upper halves
    behind the directory, those of directories are written whole.
    """

    order: str
    big: bool
    ndpi: bool

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def link(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.big or self.ndpi else "I"))


def walk_directories(path: Path) -> list[Directory]:
    """Return all directories of the TIFF at `path`.

    Raises:
        UnreadableSlideError: it is cut short, or damaged, or has more than a slide can need.
    """
    try:
        with path.open("rb") as file:
            return list(_Walk(path, file).directories())
    except (OSError, struct.error) as error:
        raise UnreadableSlideError(
            path.name, f"is cut short or damaged; copy it again ({error})"
        ) from error


class _Walk:
    """One pass over the directories of a file."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._name, self._file = path.name, file
        self._size = path.stat().st_size
        self._tag_bytes = 0
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        version = struct.unpack_from(order + "H", head, 2)[0]
        ndpi = path.suffix.lower() == ".ndpi" and order == "<" and version != BIG
        self._layout = _Layout(order=order, big=version == BIG, ndpi=ndpi)
        self._first = int(self._layout.link.unpack_from(head, 8 if version == BIG else 4)[0])

    def directories(self) -> Iterator[Directory]:
        seen: set[int] = set()
        # Levels are listed by their directory, and some writers chain those that are listed, too.
        ahead: list[tuple[int, Sequence[int]]] = [(self._first, ())]
        while ahead:
            place, listed_after = ahead.pop()
            if not place:
                continue
            if place in seen:
                raise self._damaged("its directories go in a circle")
            if len(seen) >= MAX_DIRECTORIES:
                raise UnreadableSlideError(
                    self._name,
                    f"has more than {MAX_DIRECTORIES:,} images in it, which no slide has; "
                    "export the one that you mean",
                )
            seen.add(place)
            directory, after = self._read(place)
            levels = directory.values.get(SUBIFDS, ())
            ahead += [] if after in listed_after else [(after, ())]
            ahead += [(level, levels[at + 1 :]) for at, level in enumerate(levels)][::-1]
            yield directory

    def _read(self, place: int) -> tuple[Directory, int]:
        """Return the directory at `place` and where the next one begins."""
        layout, head = self._layout, self._at(place, self._layout.count.size)
        (count,) = layout.count.unpack(head)
        if not 0 < count <= MAX_TAGS:
            raise self._damaged(f"a directory of it has {count:,} tags")
        start, entry = place + layout.count.size, layout.entry
        raw = self._at(start, count * entry.size)
        end = start + len(raw)
        (after,) = layout.link.unpack(self._at(end, layout.link.size))
        uppers = self._uppers(end + layout.link.size, count)
        tags, inline = {}, layout.offset.size
        for number, (code, kind, amount, value) in enumerate(entry.iter_unpack(raw)):
            tag = Tag(kind, amount, start + (number + 1) * entry.size - inline)
            if tag.size > inline:
                place = layout.offset.unpack(value)[0] + (uppers[number] << 32)
                tag = Tag(kind, amount, place)
                self._check(tag)
            tags[code] = tag
        values = {code: self._integers(tag) for code, tag in tags.items() if _is_read(code, tag)}
        return Directory(layout.order, tags, values), int(after)

    def _integers(self, tag: Tag) -> tuple[int, ...]:
        layout = f"{self._layout.order}{tag.count}{INTEGERS[tag.type]}"
        return struct.unpack(layout, self._at(tag.place, tag.size))

    def _uppers(self, place: int, count: int) -> tuple[int, ...]:
        if not self._layout.ndpi:
            return (0,) * count
        return struct.unpack(f"<{count}I", self._at(place, 4 * count))

    def _check(self, tag: Tag) -> None:
        if tag.place + tag.size > self._size:
            raise UnreadableSlideError(
                self._name,
                f"is cut short: it has {self._size:,} bytes of at least "
                f"{tag.place + tag.size:,}; copy it again",
            )
        self._tag_bytes += tag.size
        if self._tag_bytes > MAX_TAG_BYTES:
            raise self._damaged(f"its tags have more than {MAX_TAG_BYTES:,} bytes")

    def _at(self, place: int, size: int) -> bytes:
        raw = b""
        if place + size <= self._size:
            self._file.seek(place)
            raw = self._file.read(size)
        if len(raw) < size:
            raise UnreadableSlideError(
                self._name,
                f"is cut short: it has {self._size:,} bytes of at least {place + size:,}; "
                "copy it again",
            )
        return raw

    def _damaged(self, why: str) -> UnreadableSlideError:
        return UnreadableSlideError(self._name, f"is damaged: {why}; copy it again")


def _is_read(code: int, tag: Tag) -> bool:
    return tag.type in INTEGERS and tag.count > 0 and (tag.count <= FEW or code == SUBIFDS)
