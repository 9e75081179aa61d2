"""Where shapes are kept while a file is read: in memory, or on disk where they may be millions."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import shapely

from deeplab.annotations.shapes import Mark, Property, Shape
from deeplab.errors import AnnotationError, OutputError

Kept = TypeVar("Kept", Shape, Mark)
HEAD = struct.Struct("<II")  # bytes of the geometry, then of the properties
BUFFER_BYTES = 1 << 16  # written at a time; no file stays open, however many layers there are


class Store(Protocol[Kept]):
    """Takes shapes one by one and gives all of them back."""

    def append(self, kept: Kept) -> None:
        """Keep one more."""

    def whole(self) -> Collection[Kept]:
        """Return all that were kept, in their order."""

    def __len__(self) -> int:
        """Return the number of those kept."""


def store(kind: Callable[[Any, Mapping[str, Property]], Kept], spill: Path | None) -> Store[Kept]:
    """Return a store in memory, or in a file of the folder `spill`."""
    return _Memory() if spill is None else Spilled(kind, spill)


class _Memory(Store[Kept]):
    def __init__(self) -> None:
        self._kept: list[Kept] = []

    def append(self, kept: Kept) -> None:
        self._kept.append(kept)

    def whole(self) -> Collection[Kept]:
        return tuple(self._kept)

    def __len__(self) -> int:
        return len(self._kept)


class Spilled(Collection[Kept]):
    """Shapes or marks in a file of their own, as well-known binary and JSON.

    Raises:
        OutputError: there is no room for them.
    """

    def __init__(self, kind: Callable[[Any, Mapping[str, Property]], Kept], folder: Path) -> None:
        self._kind: Callable[[Any, Mapping[str, Property]], Kept] = kind
        self._folder = folder
        self._path: Path | None = None
        self._buffer = bytearray()
        self._count = 0

    def append(self, kept: Kept) -> None:
        """Keep one more."""
        shape = shapely.to_wkb(_geometry(kept))
        words = json.dumps(dict(kept.properties)).encode() if kept.properties else b""
        self._buffer += HEAD.pack(len(shape), len(words)) + shape + words
        self._count += 1
        if len(self._buffer) >= BUFFER_BYTES:
            self._flush()

    def whole(self) -> Collection[Kept]:
        """Return all that were kept, read again from the file whenever they are gone through."""
        if self._buffer:
            self._flush()
        return self

    def __len__(self) -> int:
        return self._count

    def __contains__(self, kept: object) -> bool:
        return any(each == kept for each in self)

    def __iter__(self) -> Iterator[Kept]:
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                while head := file.read(HEAD.size):
                    geometry_bytes, word_bytes = HEAD.unpack(head)
                    geometry = shapely.from_wkb(file.read(geometry_bytes))
                    words = file.read(word_bytes)
                    yield self._kind(geometry, json.loads(words) if words else {})
        except OSError as error:
            raise AnnotationError(self._path, f"cannot be read: {error.strerror}") from error

    def _flush(self) -> None:
        try:
            if self._path is None:
                handle, name = tempfile.mkstemp(dir=self._folder, suffix=".shapes")
                os.close(handle)
                self._path = Path(name)
            with self._path.open("ab") as file:
                file.write(self._buffer)
        except OSError as error:
            raise OutputError(self._folder, error.strerror or str(error)) from error
        self._buffer.clear()


def _geometry(kept: Shape | Mark) -> shapely.Geometry:
    return kept.polygon if isinstance(kept, Shape) else kept.geometry
