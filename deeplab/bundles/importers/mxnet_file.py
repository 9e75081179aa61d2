"""Files of arrays that MXNet saves, `.params`, read without MXNet.

A word that marks the file, the arrays one behind the other, then their names. An array is its
shape, its device, the type of its numbers and the numbers; four layouts have been written.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from deeplab.bundles.archive import damage_said
from deeplab.bundles.importers.stored_tensors import (
    MAX_TENSOR_BYTES,
    MAX_TENSORS,
    Shape,
    StoredTensors,
    item_bytes,
    typed_array,
)
from deeplab.errors import CheckpointError

FILE_MARK = 0x112  # a 64-bit word, and a second one that is kept free
# Before an array: the layout with 64-bit sizes, the one that also says how dense it is, and the one
# with signed sizes. Without a mark the word is the number of 32-bit sizes itself.
WIDE, DENSE, SIGNED = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
TYPES = ("<f4", "<f8", "<f2", "|u1", "<i4", "|i1", "<i8", "|b1")  # by their number
MAX_SIDES = 16
MAX_NAME_BYTES = 500


def is_mxnet(path: Path) -> bool:
    """Tell whether a file begins as one of MXNet's arrays does."""
    with damage_said(path), path.open("rb") as file:
        return file.read(16) == struct.pack("<QQ", FILE_MARK, 0)


@dataclass(frozen=True, slots=True)
class _Place:
    kind: str
    shape: Shape
    start: int
    length: int


class _Reader:
    """Reads numbers off a file whose size is known, and never beyond it."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._size = path.stat().st_size

    def number(self, letter: str) -> int:
        """Return the next number of one of struct's types."""
        size = struct.calcsize(f"<{letter}")
        content = self._file.read(size)
        if len(content) < size:
            raise self.damaged("it ends within an array")
        (value,) = struct.unpack(f"<{letter}", content)
        return int(value)

    def text(self) -> str:
        """Return the next name."""
        length = self.number("Q")
        if not 0 < length <= MAX_NAME_BYTES:
            raise self.damaged("a name is too long or empty")
        content = self._file.read(length)
        if len(content) < length or not content.isascii():
            raise self.damaged("a name is cut short or not of letters")
        return content.decode("ascii")

    def pass_over(self, length: int) -> int:
        """Return where the next `length` bytes begin, and go behind them."""
        start = self._file.tell()
        if start + length > self._size:
            raise self.damaged("it ends within an array")
        self._file.seek(length, 1)
        return start

    @property
    def is_at_end(self) -> bool:
        """Whether all of the file was read."""
        return self._file.tell() == self._size

    def damaged(self, why: str) -> CheckpointError:
        """Return the error of a file that is no such file."""
        return CheckpointError(self._path, f"is damaged: {why}")


@contextmanager
def open_mxnet(path: Path) -> Iterator[StoredTensors]:
    """Open the arrays of a file for which `is_mxnet` holds.

    Raises:
        CheckpointError: it is damaged, has too many arrays, or such as are not dense.
    """
    with damage_said(path), path.open("rb") as file:
        reader = _Reader(path, file)
        reader.pass_over(16)
        places = [_place(reader) for _ in range(_count(reader))]
        names = [reader.text() for _ in range(_count(reader))]
        if len(names) != len(places) or len(set(names)) != len(names):
            raise reader.damaged("it has not one name for each array")
        if not reader.is_at_end:
            raise reader.damaged("it goes on behind its last name")
        table = dict(zip(names, places, strict=True))

        def read(name: str) -> NDArray[Any]:
            place = table[name]
            with damage_said(path):
                file.seek(place.start)
                return typed_array(file.read(place.length), place.kind).reshape(place.shape)

        yield StoredTensors(
            path=path,
            shapes={name: place.shape for name, place in table.items()},
            read=read,
            held_bytes=sum(place.length for place in places),
        )


def _count(reader: _Reader) -> int:
    count = reader.number("Q")
    if count > MAX_TENSORS:
        raise reader.damaged(
            f"it claims {count:,} arrays, and a network has {MAX_TENSORS:,} at most"
        )
    return count


def _place(reader: _Reader) -> _Place:
    """Return where the next array lies; its numbers are not read."""
    mark = reader.number("I")
    if mark in (DENSE, SIGNED) and reader.number("i") != 0:
        raise reader.damaged("an array is not dense")
    count = reader.number("I") if mark in (WIDE, DENSE, SIGNED) else mark
    if not 0 < count <= MAX_SIDES:
        raise reader.damaged(f"an array has {count} sides")
    shape = tuple(reader.number("q" if mark != count else "I") for _ in range(count))
    reader.number("i")  # the device it was on, and its number
    reader.number("i")
    kind = reader.number("i")
    if not 0 <= kind < len(TYPES):
        raise reader.damaged(f"an array has numbers of type {kind}")
    if any(side < 0 for side in shape):
        raise reader.damaged("an array has a side below 0")
    length = math.prod(shape) * item_bytes(TYPES[kind])
    if length > MAX_TENSOR_BYTES:
        raise reader.damaged("an array is larger than any of a network")
    return _Place(TYPES[kind], shape, reader.pass_over(length), length)
