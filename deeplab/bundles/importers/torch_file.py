"""Files that `torch.save` wrote, read without PyTorch: `.pt`, `.pth`, `.tar`.

Since PyTorch 1.6 such a file is a zip of a pickle and of one file a storage; before, it was several
pickles and then the storages, one behind the other. It holds a table of tensors by name, perhaps
within other tables (`{"desc": {...}}`), or a whole network, of which the tables of its parameters
and buffers are taken. The pickle is carried out by `inert_pickle`, which runs nothing.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.archive import Archive, damage_said, open_archive
from deeplab.bundles.importers.inert_pickle import (
    MAX_BYTES,
    InertPickleError,
    ObjectRecord,
    StorageRecord,
    TensorRecord,
    read_inert,
)
from deeplab.bundles.importers.stored_tensors import (
    MAX_HELD_BYTES,
    MAX_TENSOR_BYTES,
    MAX_TENSORS,
    StoredTensors,
    item_bytes,
    typed_array,
)
from deeplab.errors import CheckpointError

PICKLE_NAME = "data.pkl"
# The first bytes before PyTorch 1.6: protocol 2, a number of ten bytes that all such files have.
LEGACY_BEGIN = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
LEGACY_VERSION = 1001
MAX_DEPTH = 64  # tables and modules within each other
MAX_VALUES = 400_000  # in all tables together, one that stands in two places counted twice
MAX_KEY = 500  # letters of one name
# What people put the table of a network's tensors into, beside others.
WRAPPERS = ("desc", "state_dict", "model_state_dict", "model", "net", "network")
PARALLEL = "module."  # put before every name by DataParallel
ALONE = "save the network's state_dict() alone and give that"
# PyTorch's storages, by NumPy's name of their type without the order of bytes.
STORAGES: Mapping[str, str] = MappingProxyType(
    {
        "FloatStorage": "f4",
        "DoubleStorage": "f8",
        "HalfStorage": "f2",
        "LongStorage": "i8",
        "IntStorage": "i4",
        "ShortStorage": "i2",
        "CharStorage": "i1",
        "ByteStorage": "u1",
        "BoolStorage": "b1",
        "BFloat16Storage": "bfloat16",
    }
)


def is_legacy(path: Path) -> bool:
    """Tell whether a file was written by PyTorch before 1.6."""
    with damage_said(path), path.open("rb") as file:
        return file.read(len(LEGACY_BEGIN)) == LEGACY_BEGIN


def pickle_in(archive: Archive) -> str | None:
    """Return the name of the pickle in a zip of PyTorch's; None in any other zip."""
    names = [name for name in archive.sizes if PurePosixPath(name).name == PICKLE_NAME]
    found = [name for name in names if len(PurePosixPath(name).parts) == 2]
    return found[0] if len(found) == 1 else None


@contextmanager
def open_torch(path: Path) -> Iterator[StoredTensors]:
    """Open the tensors in a file of `torch.save`, by PyTorch's own names.

    Of a table that holds a network beside other things (`desc`, `state_dict`, `model`) only that is
    taken. A name is the keys on the way to a tensor, joined by dots, without a first `module.` that
    all of them have.

    Raises:
        CheckpointError: the file is damaged, holds no tensors, or would run something.
        BundleError: it is a zip that is not safe to read.
    """
    if is_legacy(path):
        with damage_said(path), path.open("rb") as file:
            yield _tensors(path, *_legacy(path, file))
        return
    with open_archive(path) as archive:
        name = pickle_in(archive)
        if name is None:
            raise CheckpointError(path, "is no file of PyTorch's: it has no data.pkl")
        content = io.BytesIO(archive.read(name, MAX_BYTES))
        with _damage_named(path):
            saved = read_inert(content).value
        yield _tensors(path, saved, _zipped_storages(archive, PurePosixPath(name).parent))


@dataclass(frozen=True, slots=True)
class _Storages:
    """Where the storages of a file lie.

    Attributes:
        sizes: Bytes by key.
        order: Of the bytes of a number: "<" or ">".
        read: Key to bytes.
    """

    sizes: Mapping[str, int]
    order: str
    read: Callable[[str], bytes]


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except InertPickleError as error:
        problem = str(error)
        if problem.startswith("would run"):
            raise CheckpointError(
                path, f"is refused: it {problem} when it is opened in PyTorch; {ALONE}"
            ) from error
        raise CheckpointError(path, f"cannot be read: it {problem}") from error


def _zipped_storages(archive: Archive, folder: PurePosixPath) -> _Storages:
    order = "<"
    if (name := str(folder / "byteorder")) in archive.sizes:
        order = ">" if archive.read(name, 100).strip() == b"big" else "<"
    sizes = {
        PurePosixPath(name).name: size
        for name, size in archive.sizes.items()
        if PurePosixPath(name).parent == folder / "data"
    }
    return _Storages(sizes, order, lambda key: archive.read(str(folder / "data" / key), 2**32))


def _legacy(path: Path, file: IO[bytes]) -> tuple[Any, _Storages]:
    """Return what a file of PyTorch before 1.6 holds, and where its storages lie."""
    with _damage_named(path):
        _, version, machine, saved, listed = (read_inert(file) for _ in range(5))
    if version.value != LEGACY_VERSION or not isinstance(machine.value, dict):
        raise CheckpointError(path, "is of a form of PyTorch's that is not known")
    is_little = machine.value.get("little_endian") is not False
    keys = listed.value if isinstance(listed.value, list) else ()
    sizes, places = {}, {}
    for key in keys:
        if type(key) is not str or key not in saved.storages:
            raise CheckpointError(path, "is damaged: it lists a storage of no tensor")
        count = int.from_bytes(file.read(8), "little" if is_little else "big")
        place, length = file.tell(), count * item_bytes(_kind(saved.storages[key], "<", path))
        if place + length > path.stat().st_size:
            raise CheckpointError(path, "is cut short; copy it again")
        sizes[key], places[key] = length, place
        file.seek(length, 1)

    def read(key: str) -> bytes:
        with damage_said(path):
            file.seek(places[key])
            return file.read(sizes[key])

    return saved.value, _Storages(sizes, "<" if is_little else ">", read)


def _kind(storage: StorageRecord, order: str, path: Path) -> str:
    if storage.kind not in STORAGES:
        raise CheckpointError(path, f"has tensors of the type {storage.kind[:40]}; {ALONE}")
    return order + STORAGES[storage.kind]


@dataclass(slots=True)
class _Held:
    """The storage that was read last, with its type: many tensors may be views of one."""

    key: tuple[str, str] = ("", "")
    numbers: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.float32))


def _tensors(path: Path, saved: object, storages: _Storages) -> StoredTensors:
    """Return the tensors in what was saved, each checked against its storage."""
    try:
        found = dict(_named_tensors(_network_in(saved)))
    except InertPickleError as error:
        raise CheckpointError(path, f"cannot be read: it {error}") from error
    if not found:
        raise CheckpointError(path, f"holds no tensors by name; {ALONE}")
    if all(name.startswith(PARALLEL) for name in found):
        found = {name.removeprefix(PARALLEL): tensor for name, tensor in found.items()}
    kinds = {name: _kind(tensor.storage, storages.order, path) for name, tensor in found.items()}
    for name, tensor in found.items():
        _check_tensor(path, name, tensor, storages.sizes, item_bytes(kinds[name]))
    held_bytes = sum(storages.sizes.values())
    if held_bytes > MAX_HELD_BYTES:
        raise CheckpointError(path, "holds more than 4 GiB of tensors; no network is that large")
    held = _Held()

    def read(name: str) -> NDArray[Any]:
        tensor = found[name]
        key = (tensor.storage.key, kinds[name])
        if held.key != key:
            with damage_said(path):
                held.numbers = typed_array(storages.read(tensor.storage.key), kinds[name])
            held.key = key
        start = tensor.storage.start + tensor.offset
        steps = tuple(step * held.numbers.itemsize for step in tensor.strides)
        view = np.lib.stride_tricks.as_strided(held.numbers[start:], tensor.shape, steps)
        return np.ascontiguousarray(view).reshape(tensor.shape)

    shapes = {name: tensor.shape for name, tensor in found.items()}
    return StoredTensors(path=path, shapes=shapes, read=read, held_bytes=held_bytes)


def _check_tensor(
    path: Path, name: str, tensor: TensorRecord, sizes: Mapping[str, int], item: int
) -> None:
    """Raise CheckpointError unless a tensor lies within its storage, each number once."""
    storage, called = tensor.storage, name[:100]
    if storage.key not in sizes:
        raise CheckpointError(path, f"is damaged: it has not the values of {called}")
    if (storage.start + storage.count) * item > sizes[storage.key]:
        raise CheckpointError(path, f"is damaged: it has not all values of {called}")
    count = math.prod(tensor.shape)
    last = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True))
    if count and (count > storage.count or tensor.offset + last >= storage.count):
        raise CheckpointError(path, f"is damaged: {called} is larger than what is there of it")
    if sizes[storage.key] > MAX_TENSOR_BYTES:
        raise CheckpointError(path, f"has with {called} more numbers in one piece than any network")


def _network_in(saved: object) -> object:
    """Return the part of what was saved that is a network; all of it if no part is named so."""
    if isinstance(saved, dict) and not any(isinstance(v, TensorRecord) for v in saved.values()):
        for name in WRAPPERS:
            if isinstance(saved.get(name), dict | ObjectRecord):
                return saved[name]
    return saved


def _named_tensors(saved: object) -> Iterator[tuple[str, TensorRecord]]:
    """Yield the tensors with their names, depth first, in the order of the tables.

    Raises:
        InertPickleError: tables lie in each other without an end, or are too many.
    """
    todo: list[tuple[str, int, object]] = [("", 0, saved)]
    values = tensors = 0
    while todo:
        name, depth, value = todo.pop()
        values += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:
            raise InertPickleError("holds more tables within tables than any network")
        if isinstance(value, TensorRecord):
            tensors += 1
            if tensors > MAX_TENSORS:
                raise InertPickleError("holds more tensors than any network")
            yield name, value
        else:
            inner = [(_joined(name, key), depth + 1, each) for key, each in _parts(value)]
            if values + len(todo) + len(inner) > MAX_VALUES:
                raise InertPickleError("holds more values than any network")
            todo.extend(reversed(inner))


def _joined(name: str, key: object) -> str:
    if not isinstance(key, str) and not (isinstance(key, int) and key.bit_length() < 64):
        key = "?"  # of no parameter of a network
    if isinstance(key, str) and len(key) > MAX_KEY:
        raise InertPickleError("holds a name that is too long")
    return f"{name}.{key}" if name else str(key)


def _parts(value: object) -> Iterator[tuple[object, object]]:
    """Yield what lies in a table or list, or the parameters, buffers and modules of a network."""
    if isinstance(value, ObjectRecord):
        passing = value.state.get("_non_persistent_buffers_set")
        left_out = passing if isinstance(passing, list | tuple) else ()
        for table in ("_parameters", "_buffers", "_modules"):
            entries = value.state.get(table)
            if isinstance(entries, dict):
                yield from ((k, v) for k, v in entries.items() if k not in left_out)
    elif isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
