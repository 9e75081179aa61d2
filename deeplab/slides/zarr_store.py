"""Where the chunks of a Zarr come from: a folder or a zip, looked at before a codec gets them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore, WrapperStore, ZipStore

from deeplab.slides.limits import MAX_TILE_BYTES

BLOSC_HEAD = struct.Struct("<4B3I")  # versions, flags, size of a number; bytes, of a block, packed
METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")


class CheckedStore(WrapperStore[Any]):
    """A store that refuses chunks whose Blosc head is not true: its decoder reads beyond their end.

    `packed` are the paths of the arrays that Blosc compresses.
    """

    def __init__(self, store: Any) -> None:  # noqa: ANN401  a store of any kind
        super().__init__(store)
        self.packed: set[str] = set()

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:  # noqa: ANN401
        """Return the bytes under a key.

        Raises:
            ValueError: they are a chunk whose head is not true.
        """
        found = await super().get(key, prototype, byte_range)
        is_packed = any(key.startswith(f"{path}/") for path in self.packed)
        if found is not None and is_packed and not key.endswith(METADATA):
            check_blosc(found.to_bytes())
        return found


def check_blosc(chunk: bytes) -> None:
    """Refuse a chunk whose head states other sizes than it has.

    Raises:
        ValueError: it does.
    """
    if len(chunk) < BLOSC_HEAD.size:
        raise ValueError("a chunk is cut short")
    *_, size, block, packed = BLOSC_HEAD.unpack_from(chunk)
    if packed != len(chunk) or size > MAX_TILE_BYTES or block > max(size, 1):
        raise ValueError(
            f"a chunk of {len(chunk)} bytes states that it has {packed}, and {size} unpacked"
        )


def open_store(path: Path, inside: str) -> zarr.Group | zarr.Array[Any]:
    """Return what is at `inside` of a folder or of a zip, its chunks checked."""
    local = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    return zarr.open(CheckedStore(local), path=inside, mode="r")


def check_chunks_of(array: zarr.Array[Any]) -> None:
    """Check the chunks of an array from now on, where Blosc compresses them one by one."""
    last = [type(each).__name__ for each in array.compressors[-1:]]
    by_blosc = any(name.startswith("Blosc") for name in last)
    store = array.store
    if by_blosc and array.shards is None and isinstance(store, CheckedStore):
        store.packed.add(array.path)
