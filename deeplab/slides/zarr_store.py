"""Where the chunks of a Zarr come from: a folder or a zip, looked at before a codec gets them."""

from __future__ import annotations

import bz2
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import LocalStore, WrapperStore, ZipStore

from deeplab.slides.limits import MAX_PART_BYTES

BLOSC_HEAD = struct.Struct("<4B3I")  # versions, flags, size of a number; bytes, of a block, packed
LZ4_HEAD = struct.Struct("<I")  # numcodecs puts the size before the block of LZ4
METADATA = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
GZIP_FORMAT = 16 + zlib.MAX_WBITS
MAX_LZMA_BYTES = 2**27  # of the dictionary; xz -9 takes 64 MiB
CRC_BYTES = 4
MAX_INNER_CHUNKS = 2**20  # of a shard; their index has 16 bytes for each
NO_CHUNK = 2**64 - 1  # stands in an index for the place of a chunk that there is not


def blosc_size(chunk: bytes, most: int) -> int:
    """Return the size unpacked that the head of Blosc states: its decoder reads by that head.

    Raises:
        ValueError: the head is not true, or it states more than `most`.
    """
    if len(chunk) < BLOSC_HEAD.size:
        raise ValueError("a chunk is cut short")
    *_, size, block, packed = BLOSC_HEAD.unpack_from(chunk)
    if packed != len(chunk) or size > most or block > max(size, 1):
        raise ValueError(
            f"a chunk of {len(chunk)} bytes states that it has {packed}, and {size} unpacked"
        )
    return int(size)


def lz4_size(chunk: bytes, _: int) -> int:
    """Return the size that stands before a block of LZ4: its decoder makes room by that."""
    return int(LZ4_HEAD.unpack_from(chunk)[0])


def zstd_size(chunk: bytes, most: int) -> int:
    """Return the size unpacked of all frames of Zstandard, by a trial in so much room.

    A frame need not state its size (RFC 8878, 3.1.1), and several may follow one another.
    """
    try:
        return len(imagecodecs.zstd_decode(chunk, out=max(most, 1)))
    except imagecodecs.ZstdError as error:
        raise ValueError(f"Zstandard unpacks no chunk of {most} bytes from it: {error}") from error


def _size_by_trial(unpacker: Any, chunk: bytes, most: int) -> int:  # noqa: ANN401
    """Return the size unpacked of one stream, `most` + 1 where it is larger.

    Raises:
        ValueError: something follows the stream, which a decoder may unpack too.
    """
    size = len(unpacker.decompress(chunk, most + 1))
    if size <= most and unpacker.unused_data:
        raise ValueError("a chunk has bytes after its end")
    return size


def _lzma_stream() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_LZMA_BYTES)


SIZES: Mapping[str, Callable[[bytes, int], int]] = {
    "blosc": blosc_size,
    "zstd": zstd_size,
    "lz4": lz4_size,
    "gzip": lambda chunk, most: _size_by_trial(zlib.decompressobj(GZIP_FORMAT), chunk, most),
    "zlib": lambda chunk, most: _size_by_trial(zlib.decompressobj(), chunk, most),
    "bz2": lambda chunk, most: _size_by_trial(bz2.BZ2Decompressor(), chunk, most),
    "lzma": lambda chunk, most: _size_by_trial(_lzma_stream(), chunk, most),
    "none": lambda chunk, _: len(chunk),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How the chunks of an array are packed.

    By the codec of that name, from `size` bytes each, with `crc` bytes after them. `inner` is how
    many of them a shard holds, 0 where each has a file; `index_bytes` are those at a shard's end.
    """

    codec: str
    size: int
    crc: int
    inner: int = 0
    index_bytes: int = 0

    @property
    def most_bytes(self) -> int:
        """What the file of a chunk or shard can have: what cannot be packed grows a little."""
        chunk = self.size + self.size // 8 + 1024
        return min(chunk * max(self.inner, 1) + self.index_bytes, MAX_PART_BYTES)

    def check(self, part: bytes) -> None:
        """Refuse the file of a chunk, or of a shard, whose pixels are more than they can be.

        Raises:
            ValueError: they are, or it is damaged.
        """
        if not self.inner:
            self.check_chunk(part)
            return
        index = np.frombuffer(part[len(part) - self.index_bytes :], "<u8", 2 * self.inner)
        for start, size in index.reshape(-1, 2).tolist():
            if (start, size) != (NO_CHUNK, NO_CHUNK):
                self.check_chunk(part[start : start + size])

    def check_chunk(self, chunk: bytes) -> None:
        """Refuse a chunk that unpacks to more than its pixels.

        Raises:
            ValueError: it does, or it is damaged.
        """
        if SIZES[self.codec](chunk[: len(chunk) - self.crc], self.size) > self.size:
            raise ValueError(f"a chunk unpacks to more than the {self.size} bytes of its pixels")


class CheckedStore(WrapperStore[Any]):
    """A store that checks each chunk before a codec gets it.

    `packings` are those of the arrays by their paths.
    """

    def __init__(self, store: Any) -> None:  # noqa: ANN401  a store of any kind
        super().__init__(store)
        self.packings: dict[str, Packing] = {}

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:  # noqa: ANN401
        """Return the bytes under a key.

        Raises:
            ValueError: they are a chunk that unpacks to more than its pixels, or is damaged.
        """
        packings = [] if key.endswith(METADATA) else list(self._packings_of(key))
        if not packings or isinstance(byte_range, SuffixByteRequest):  # the index of a shard
            return await super().get(key, prototype, byte_range)
        most = min(packing.most_bytes for packing in packings)
        asked = byte_range or RangeByteRequest(0, most + 1)
        if not 0 <= int(asked.end) - int(asked.start) <= most + 1:
            raise ValueError("the index of a shard names a chunk that is too large")
        found = await super().get(key, prototype, asked)
        if found is None:
            return None
        part = found.to_bytes()
        if len(part) > most:
            raise ValueError(f"a chunk has more than the {most} bytes that it can have")
        for packing in packings:
            (packing.check if byte_range is None else packing.check_chunk)(part)
        return found

    def _packings_of(self, key: str) -> Iterator[Packing]:
        """Yield what a chunk may be of: all arrays that it lies below."""
        for path, packing in self.packings.items():
            if key.startswith(f"{path}/"):
                yield packing


def open_store(path: Path, inside: str) -> zarr.Group | zarr.Array[Any]:
    """Return what is at `inside` of a folder or of a zip, its chunks checked."""
    local = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path, mode="r")
    return zarr.open(CheckedStore(local), path=inside, mode="r")


def check_chunks_of(array: zarr.Array[Any]) -> None:
    """Check the chunks of an array from now on.

    Raises:
        ValueError: they are packed in a way that cannot be checked.
    """
    if isinstance(array.store, CheckedStore):
        array.store.packings[array.path] = packing_of(array)


def packing_of(array: zarr.Array[Any]) -> Packing:
    """Return how the chunks of an array are packed.

    Raises:
        ValueError: in a way that cannot be checked before they are unpacked.
    """
    facts: Mapping[str, Any] = array.metadata.to_dict()
    size = math.prod(array.chunks) * array.dtype.itemsize
    if facts["zarr_format"] == 2:
        chain = [*(facts["filters"] or ()), facts["compressor"] or {"id": "none"}]
        settings = chain[-1] if len(chain) == 1 else {}
        return Packing(codec=_known([each["id"] for each in chain], settings), size=size, crc=0)
    chain = list(facts["codecs"])
    if array.shards is None:
        return _packing_of_chain(chain, size)
    around = _names(chain)
    shards = chain[0].get("configuration", {})
    index = _names(shards.get("index_codecs", ()))
    inner = math.prod(array.shards) // max(math.prod(array.chunks), 1)
    at_end = shards.get("index_location") == "end"
    if (
        around != ["sharding_indexed"]
        or index[:1] != ["bytes"]
        or index[1:] not in ([], ["crc32c"])
        or not at_end
        or inner > MAX_INNER_CHUNKS
    ):
        raise ValueError(
            "its shards are not those of OME-Zarr's writers, an index of at most "
            f"{MAX_INNER_CHUNKS:,} chunks at the end; write it anew, as bioformats2raw does"
        )
    one = _packing_of_chain(shards["codecs"], size)
    crc = CRC_BYTES * (len(index) - 1)
    return Packing(
        codec=one.codec, size=size, crc=one.crc, inner=inner, index_bytes=16 * inner + crc
    )


def _packing_of_chain(chain: Sequence[Mapping[str, Any]], size: int) -> Packing:
    """Return how the codecs of Zarr 3 pack a chunk: as an array in bytes, packed, with a CRC."""
    packers = [each for each in chain if each["name"] not in ("transpose", "bytes")]
    crc = CRC_BYTES if packers and packers[-1]["name"] == "crc32c" else 0
    packers = packers[:-1] if crc else packers
    settings = packers[0].get("configuration", {}) if packers else {}
    return Packing(codec=_known(_names(packers) or ["none"], settings), size=size, crc=crc)


def _names(chain: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(each["name"]) for each in chain]


def _known(names: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Return the name of the one codec that packs chunks.

    Raises:
        ValueError: there are several, or it is one whose chunks are not unpacked here.
    """
    bare = [name.removeprefix("numcodecs.") for name in names]
    is_plain_xz = settings.get("format", 1) == lzma.FORMAT_XZ and not settings.get("filters")
    if len(bare) != 1 or bare[0] not in SIZES or (bare[0] == "lzma" and not is_plain_xz):
        raise ValueError(
            f"its chunks are packed by {', '.join(names)}; write it anew with one codec of: "
            f"{', '.join(SIZES)}"
        )
    return bare[0]
