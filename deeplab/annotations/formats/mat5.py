"""Arrays of numbers and text in a MATLAB file of version 5 (`-v6`, `-v7`), read within limits.

Written by hand because SciPy's reader can be made to end the process by a damaged file. The format
is MathWorks' "MAT-File Format" (R2024): elements of a tag and bytes, compressed or not; what is no
array of numbers or text is passed over.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.formats.gather import check_is_file
from deeplab.errors import AnnotationError

HEAD_BYTES = 128
VERSION_AT = 124
VERSION = 0x0100
ORDERS = {b"IM": "<", b"MI": ">"}
HDF5_HEAD = b"MATLAB 7.3"
MATRIX, COMPRESSED = 14, 15
NUMERIC = dict(enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4"), start=1))
KINDS = {**NUMERIC, 9: "f8", 12: "i8", 13: "u8"}
LETTERS = {1: "utf-8", 2: "utf-8", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
LETTER_BYTES = 4  # at most
CHAR = 4  # class of text
NUMBERS = range(6, 16)  # classes of numbers: double, single, whole ones
CLASSES = {1: "cell", 2: "struct", 3: "object", 5: "sparse"}
COMPLEX = 0x08
MOST_ELEMENTS = 10_000
MOST_AXES = 8
LONGEST_NAME = 64  # MATLAB's is 63
PIECE = 1 << 16
BROKEN = (struct.error, zlib.error, ValueError, OSError)


MatArray = NDArray[Any] | str  # numbers of the shape that MATLAB has, or text


def read_arrays(path: Path, limits: Mapping[str, int]) -> tuple[dict[str, MatArray], list[str]]:
    """Read some arrays of a file, and the names of all that there are.

    Args:
        path: the file.
        limits: numbers or letters that an array may have, by the name of those that are wanted.

    Raises:
        AnnotationError: it is no such file, is damaged, or a wanted array is none of numbers or
            text, or has more of them than its limit.
    """
    size = check_is_file(path)
    found: dict[str, MatArray] = {}
    names: list[str] = []
    try:
        with path.open("rb") as file:
            order = _order(file.read(HEAD_BYTES), path)
            for source in _elements(file, order, size):
                head = _Head.read(source, order)
                if head is None:
                    continue
                names.append(head.name)
                if head.name in limits:
                    head.check(limits[head.name], path)
                    found[head.name] = head.values(source, order)
    except BROKEN as error:
        raise AnnotationError(path, f"is not a MATLAB file that can be read: {error}") from error
    return found, names


class _Source(Protocol):
    def read(self, count: int) -> bytes:
        """So many bytes, no fewer.

        Raises:
            ValueError: there are fewer.
        """


class _Plain:
    """The bytes of an element as they lie in the file."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        self._file, self._left = file, count

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise ValueError("an element is longer than what it is in")
        self._left -= count
        return _exactly(self._file.read(count), count)


class _Inflated:
    """The same of a compressed element; no more is unpacked than is asked for."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        self._file, self._left = file, count
        self._unpack = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            packed = self._unpack.unconsumed_tail
            if not packed:
                packed = self._file.read(min(PIECE, self._left))
                self._left -= len(packed)
            part = self._unpack.decompress(packed, missing)
            if not part and not self._unpack.unconsumed_tail and not (packed and self._left):
                break
            parts.append(part)
            missing -= len(part)
        return _exactly(b"".join(parts), count)


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before the values of an array."""

    name: str
    kind: int
    flags: int
    shape: tuple[int, ...]

    @classmethod
    def read(cls, source: _Source, order: str) -> _Head | None:
        """Return the head of an array; None of an element that is none."""
        kind, count = struct.unpack(f"{order}II", source.read(8))
        if kind != MATRIX or not count:
            return None
        flags = struct.unpack(f"{order}II", _part(source, order, 8))[0]
        axes = _part(source, order, 4 * MOST_AXES)
        shape = struct.unpack(f"{order}{len(axes) // 4}i", axes[: len(axes) // 4 * 4])
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError("an array has no shape")
        name = _part(source, order, LONGEST_NAME).decode("ascii", "replace")
        return cls(name, flags & 255, flags >> 8 & 255, shape)

    def check(self, limit: int, path: Path) -> None:
        if self.kind not in (CHAR, *NUMBERS) or self.flags & COMPLEX:
            kind = CLASSES.get(self.kind, "complex" if self.flags & COMPLEX else "unknown")
            raise AnnotationError(path, f"{self.name} is of the kind {kind}, not of numbers")
        if self.count > limit:
            raise AnnotationError(path, f"{self.name} has {self.count} entries, more than {limit}")

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    def values(self, source: _Source, order: str) -> MatArray:
        kind, count, here = _tag(source, order)
        known: Mapping[int, str] = LETTERS if self.kind == CHAR else KINDS
        if kind not in known:
            raise ValueError("values are of a kind that there is not")
        if self.kind == CHAR:
            if count > LETTER_BYTES * self.count:
                raise ValueError("there are more letters than the shape says")
            ending = "" if known[kind] == "utf-8" else {"<": "-le", ">": "-be"}[order]
            data = here[:count] if here else source.read(count)
            return data.decode(known[kind] + ending, "replace")
        dtype = np.dtype(order + known[kind])
        if count != self.count * dtype.itemsize:
            raise ValueError("there are more or fewer values than the shape says")
        data = here[:count] if here else source.read(count)
        values = np.frombuffer(data, dtype).reshape(self.shape, order="F")
        return values.astype(dtype.newbyteorder("="))


def _order(head: bytes, path: Path) -> str:
    if head.startswith(HDF5_HEAD):
        raise AnnotationError(
            path, "is of MATLAB 7.3, which is HDF5 and not read here; save it with -v7"
        )
    order = ORDERS.get(head[VERSION_AT + 2 :], "")
    if not order or struct.unpack(f"{order}H", head[VERSION_AT : VERSION_AT + 2])[0] != VERSION:
        raise AnnotationError(path, "is not a MATLAB file of version 5; save it with -v7")
    return order


def _elements(file: BinaryIO, order: str, size: int) -> Iterator[_Source]:
    """Yield the elements of a file, each to be read before the next is asked for."""
    place = HEAD_BYTES
    for _ in range(MOST_ELEMENTS):
        if place >= size:
            return
        file.seek(place)
        kind, count = struct.unpack(f"{order}II", _exactly(file.read(8), 8))
        if place + 8 + count > size:
            raise ValueError("it is cut short")
        if kind == COMPRESSED:
            yield _Inflated(file, count)
        else:
            file.seek(place)
            yield _Plain(file, 8 + count)
        place += 8 + count
    raise ValueError("it has too many elements")


def _tag(source: _Source, order: str) -> tuple[int, int, bytes]:
    """Kind and bytes of a part, and its bytes where they are so few that the tag holds them."""
    tag = source.read(8)
    kind, count = struct.unpack(f"{order}II", tag)
    if kind >> 16:
        return kind & 0xFFFF, min(kind >> 16, 4), tag[4:]
    return kind, count, b""


def _part(source: _Source, order: str, most: int) -> bytes:
    """Return the bytes of a part, and what fills them up to eight is passed over."""
    _, count, here = _tag(source, order)
    if count > most:
        raise ValueError("a part of a head is too long")
    return here[:count] if here else source.read(-(-count // 8) * 8)[:count]


def _exactly(data: bytes, count: int) -> bytes:
    if len(data) != count:
        raise ValueError("it is cut short")
    return data
