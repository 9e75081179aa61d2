"""Tensors by name in a file of another program, of whatever format; values are read on request."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import Archive, damage_said, open_archive
from deeplab.bundles.npy import NpyError, read_npy
from deeplab.errors import CheckpointError

MAX_TENSORS = 20_000
MAX_TENSOR_BYTES = 2**30
MAX_HELD_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 16 * 2**20
NPY = ".npy"
Shape = tuple[int, ...]
# safetensors' names of types; bfloat16 is the upper half of float32, which NumPy has no name for.
SAFETENSORS_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "BF16": "bfloat16",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "|i1",
        "U8": "|u1",
        "BOOL": "|b1",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensors:
    """The tensors of one file.

    Attributes:
        path: What errors call it by.
        shapes: Sizes by name, in the order of the file.
        read: Name to values, of the type that the file has them in (bfloat16 as float32); raises
            CheckpointError where they are damaged.
        held_bytes: Of all values in the file.
    """

    path: Path
    shapes: Mapping[str, Shape]
    read: Callable[[str], NDArray[Any]]
    held_bytes: int


def check_names(
    tensors: StoredTensors, what: str, *, missing: Sequence[str], left: Sequence[str]
) -> None:
    """Refuse a file that has other tensors than a network.

    Args:
        tensors: of the file.
        what: the network, in a sentence.
        missing: names that the network has and the file has not.
        left: names that only the file has.

    Raises:
        CheckpointError: there are such names; the sentence has the first three of either.
    """
    parts = []
    for words, names in (("lacks", missing), ("has beside it", left)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{words} {', '.join(name[:100] for name in names[:3])}{more}")
    if parts:
        raise CheckpointError(tensors.path, f"does not fit {what}: it {'; it '.join(parts)}")


def typed_array(content: bytes, kind: str) -> NDArray[Any]:
    """Return the numbers (n,) in `content`; `kind` is NumPy's name of their type, or bfloat16."""
    if not kind.endswith("bfloat16"):
        return np.frombuffer(content, np.dtype(kind))
    halves = np.frombuffer(content, np.dtype(kind.removesuffix("bfloat16") + "u2"))
    return (halves.astype(np.uint32) << 16).view(np.float32)


def item_bytes(kind: str) -> int:
    """Return how many bytes a number of this type has in a file."""
    return 2 if kind.endswith("bfloat16") else np.dtype(kind).itemsize


@contextmanager
def open_npz(path: Path) -> Iterator[StoredTensors]:
    """Open the arrays of a zip that NumPy wrote.

    Raises:
        BundleError: the zip is damaged or not safe to read.
        CheckpointError: it holds something else than arrays, or too many.
    """
    with open_archive(path) as archive:
        others = [name for name in archive.sizes if not name.endswith(NPY)]
        if others:
            raise CheckpointError(path, f"holds {others[0][:100]}, which is no array of NumPy's")
        _check_count(path, len(archive.sizes))
        shapes = {
            name.removesuffix(NPY): _read_member(archive, name).shape for name in archive.sizes
        }
        yield StoredTensors(
            path=path,
            shapes=shapes,
            read=lambda name: _read_member(archive, name + NPY),
            held_bytes=sum(archive.sizes.values()),
        )


def _read_member(archive: Archive, name: str) -> NDArray[Any]:
    try:
        return read_npy(archive.read(name, MAX_TENSOR_BYTES), orders="CF")
    except NpyError as error:
        problem = f"has an array that is {error}: {name.removesuffix(NPY)[:100]}"
        raise CheckpointError(archive.path, problem) from error


def _check_count(path: Path, count: int) -> None:
    if count > MAX_TENSORS:
        raise CheckpointError(path, f"has {count:,} tensors; a network has at most {MAX_TENSORS:,}")


def is_safetensors(path: Path) -> bool:
    """Tell whether a file begins as one of safetensors does."""
    with damage_said(path), path.open("rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and length < path.stat().st_size


@contextmanager
def open_safetensors(path: Path) -> Iterator[StoredTensors]:
    """Open a file of safetensors: a table of names in JSON, then the values.

    Raises:
        CheckpointError: it is damaged.
    """
    with damage_said(path), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(path, "is damaged: its table of tensors is too long")
        table = _parse_table(path, file.read(length))
        begin, size = 8 + length, path.stat().st_size - 8 - length
        places = {name: _place(path, name, told, size) for name, told in table.items()}
        _check_apart(path, places)

        def read(name: str) -> NDArray[Any]:
            place = places[name]
            with damage_said(path):
                file.seek(begin + place.start)
                content = file.read(place.length)
                return typed_array(content, place.kind).reshape(place.shape)

        yield StoredTensors(
            path=path,
            shapes={name: place.shape for name, place in places.items()},
            read=read,
            held_bytes=size,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    kind: str
    shape: Shape
    start: int
    length: int


def _parse_table(path: Path, text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError("a name stands twice")
        return table

    try:
        table = json.load(io.BytesIO(text), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, "is damaged: its table of tensors is not JSON") from error
    if not isinstance(table, dict):
        raise CheckpointError(path, "is damaged: its table of tensors is none")
    table.pop("__metadata__", None)
    _check_count(path, len(table))
    return table


def _place(path: Path, name: str, told: object, size: int) -> _Place:
    """Return where a tensor lies, checked against the size of the file."""
    problem = CheckpointError(path, f"is damaged: it says nothing possible of {name[:100]!r}")
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        raise problem
    kind = SAFETENSORS_TYPES.get(str(told["dtype"]))
    if kind is None:
        what = str(told["dtype"])[:20]
        raise CheckpointError(path, f"has {name[:100]!r} in numbers of the type {what}")
    shape, offsets = told["shape"], told["data_offsets"]
    if not (isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2):
        raise problem
    if any(type(number) is not int or not 0 <= number < 2**40 for number in (*shape, *offsets)):
        raise problem
    start, end = offsets
    if not start <= end <= size or math.prod(shape) * item_bytes(kind) != end - start:
        raise problem
    if len(shape) > 16 or end - start > MAX_TENSOR_BYTES:
        raise problem
    return _Place(kind, tuple(shape), start, end - start)


def _check_apart(path: Path, places: Mapping[str, _Place]) -> None:
    """Raise CheckpointError if two tensors lie in the same bytes."""
    reached = 0
    for place in sorted(places.values(), key=lambda place: (place.start, place.length)):
        if place.start < reached:
            raise CheckpointError(path, "is damaged: its tensors lie in each other")
        reached = place.start + place.length
