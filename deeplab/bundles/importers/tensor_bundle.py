"""Checkpoints of TensorFlow ("tensor bundles"), read as data.

TensorFlow's own reader ends the process on an index that is damaged in some way or other. An index
is a sorted table as LevelDB writes it: blocks of keys and values, of which the values are protocol
buffers that say where in which file a tensor lies. All of it is checked before any of it is used.

Sources: `tensorflow/core/util/tensor_bundle/naming.h`, `tensorflow/core/protobuf/
tensor_bundle.proto`, `tensorflow/core/lib/io/format.cc`, and LevelDB's `doc/table_format.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES = 48
TRAILER_BYTES = 5  # of a block: how it is packed, and its check sum
MAX_INDEX_BYTES = 64 * 2**20  # PNASNet's with momenta has 0.3 MB
MAX_ENTRIES = 100_000
MAX_DIMENSIONS = 16
MAX_SIDE = 2**40
KINDS: Mapping[int, str] = MappingProxyType(
    {
        types_pb2.DT_FLOAT: "<f4",
        types_pb2.DT_DOUBLE: "<f8",
        types_pb2.DT_HALF: "<f2",
        types_pb2.DT_UINT8: "|u1",
        types_pb2.DT_INT8: "|i1",
        types_pb2.DT_INT16: "<i2",
        types_pb2.DT_INT32: "<i4",
        types_pb2.DT_INT64: "<i8",
        types_pb2.DT_BOOL: "|b1",
    }
)


class TensorBundleError(ValueError):
    """The files are no checkpoint, or are damaged; the text says in what."""


class UnreadableBundleError(TensorBundleError):
    """The files are sound, but of a kind that is not read; the text says of which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a tensor lies.

    Attributes:
        shape: Of the tensor.
        kind: Of its numbers; None where they are none, as of texts.
        part: Number of the data file.
        offset: In that file, bytes.
        size: Bytes.
        checksum: CRC-32C of them, masked.
        is_whole: It is not made of slices that lie elsewhere.
    """

    shape: tuple[int, ...]
    kind: np.dtype[Any] | None
    part: int
    offset: int
    size: int
    checksum: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorBundle:
    """A checkpoint whose index was checked.

    Attributes:
        entries: The tensors by name.
        data: The files of their values.
    """

    entries: Mapping[str, Entry]
    data: tuple[Path, ...]

    def read(self, name: str) -> NDArray[Any]:
        """Return the value of a tensor.

        Raises:
            TensorBundleError: its bytes are not those that were written, or it is no plain array.
            OSError: the file cannot be read.
        """
        entry = self.entries[name]
        if entry.kind is None or not entry.is_whole:
            raise TensorBundleError(f"{name} is no array of numbers")
        with self.data[entry.part].open("rb") as file:
            file.seek(entry.offset)
            content = file.read(entry.size)
        if len(content) != entry.size or _masked_checksum(content) != entry.checksum:
            raise TensorBundleError(f"the bytes of {name} are not those that were written")
        return np.frombuffer(content, entry.kind).reshape(entry.shape)


def open_tensor_bundle(index: Path, data: Sequence[Path]) -> TensorBundle:
    """Return the checkpoint of these files.

    Args:
        index: The `.index` file.
        data: The `.data` files in the order of their numbers.

    Raises:
        TensorBundleError: they are none of a checkpoint, or damaged.
        OSError: they cannot be read.
    """
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise TensorBundleError("its index is longer than any")
    rows = dict(_rows(index.read_bytes()))
    try:
        header = tensor_bundle_pb2.BundleHeaderProto.FromString(rows.pop(b"", b""))
        entries = {
            key.decode(): _entry(tensor_bundle_pb2.BundleEntryProto.FromString(value), key)
            for key, value in rows.items()
            if not key.startswith(b"\0")  # a slice of a variable, which DeepLab has none of
        }
    except (DecodeError, UnicodeDecodeError) as error:
        raise TensorBundleError("its index holds something else than entries") from error
    if header.endianness != tensor_bundle_pb2.BundleHeaderProto.LITTLE:
        raise UnreadableBundleError("was written on a machine with its numbers the other way round")
    if header.num_shards != len(data):
        raise TensorBundleError(f"its index is of {header.num_shards} .data files, not {len(data)}")
    _check_places(entries, [file.stat().st_size for file in data])
    return TensorBundle(entries=entries, data=tuple(data))


def _check_places(entries: Mapping[str, Entry], sizes: Sequence[int]) -> None:
    for name, entry in entries.items():
        if not 0 <= entry.part < len(sizes) or entry.offset < 0 or entry.size < 0:
            raise TensorBundleError(f"{name} lies nowhere")
        if entry.offset + entry.size > sizes[entry.part]:
            raise TensorBundleError(
                f"{name} lies beyond the end of its .data file, which has {sizes[entry.part]:,} "
                "bytes"
            )
        claimed = math.prod(entry.shape) * (entry.kind.itemsize if entry.kind else 0)
        if entry.kind and entry.is_whole and claimed != entry.size:
            raise TensorBundleError(f"{name} claims {claimed:,} bytes, but has {entry.size:,}")


def _entry(told: Any, key: bytes) -> Entry:  # noqa: ANN401  protocol buffers have no types
    shape = tuple(dimension.size for dimension in told.shape.dim)
    if len(shape) > MAX_DIMENSIONS or any(not 0 <= side <= MAX_SIDE for side in shape):
        raise TensorBundleError(f"{key[:100].decode(errors='replace')} has the shape {shape[:20]}")
    kind = KINDS.get(told.dtype)
    return Entry(
        shape=shape,
        kind=np.dtype(kind) if kind else None,
        part=told.shard_id,
        offset=told.offset,
        size=told.size,
        checksum=told.crc32c,
        is_whole=not told.slices,
    )


def _rows(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in order."""
    if len(table) < FOOTER_BYTES or not table.endswith(MAGIC):
        raise TensorBundleError("its index is cut short, or is none")
    footer = table[-FOOTER_BYTES:]
    _, place = _handle(footer, 0)  # of an index of other things
    (start, size), _ = _handle(footer, place)
    last, count = b"", 0
    for _, handle in _block(table, start, size):
        (start, size), _ = _handle(handle, 0)
        for key, value in _block(table, start, size):
            count += 1
            if count > MAX_ENTRIES or (count > 1 and key <= last):
                raise TensorBundleError("its index is not in order")
            last = key
            yield key, value


def _block(table: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; keys leave out what they share with the one before."""
    end = start + size
    if end + TRAILER_BYTES > len(table) - FOOTER_BYTES:
        raise TensorBundleError("its index is cut short")
    packing, checksum = table[end], table[end + 1 : end + TRAILER_BYTES]
    if _masked_checksum(table[start : end + 1]) != int.from_bytes(checksum, "little"):
        raise TensorBundleError("the bytes of its index are not those that were written")
    if packing:
        raise UnreadableBundleError("has an index that is packed, as few versions wrote it")
    content = table[start:end]
    # At the end stand the places where keys are whole, and how many there are.
    stop = len(content) - 4 * (1 + int.from_bytes(content[-4:], "little"))
    key, place = b"", 0
    while place < stop:
        shared, place = _varint(content, place)
        added, place = _varint(content, place)
        length, place = _varint(content, place)
        if shared > len(key) or place + added + length > stop:
            raise TensorBundleError("its index has an entry that is too long")
        key = key[:shared] + content[place : place + added]
        place += added
        yield key, content[place : place + length]
        place += length


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Return where a block begins and how long it is, and where the next thing stands."""
    start, place = _varint(content, place)
    size, place = _varint(content, place)
    return (start, size), place


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where the next thing stands."""
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(content):
            break
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise TensorBundleError("its index has a number that is too long")


def _masked_checksum(content: bytes) -> int:
    """CRC-32C, turned and shifted so that sums of sums are sums, too."""
    checksum = google_crc32c.value(content)
    turned: int = ((checksum >> 15) | (checksum << 17)) + 0xA282EAD8
    return turned & 0xFFFFFFFF
