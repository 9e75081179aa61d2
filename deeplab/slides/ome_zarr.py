"""An OME-Zarr (NGFF), a folder or a zip of it, as a slide."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import ConfigError, UnreadableSlideError
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides.colours import channels_to_rgb, kind_of, top_of
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.limits import MAX_PART_BYTES, MAX_SIDE, MAX_TILE_BYTES
from deeplab.slides.pixel_kinds import REWRITE, raise_unless_in_range
from deeplab.slides.pyramid import PyramidShape, Rgb, Tile, halvings_between
from deeplab.slides.scale import Scale

MARKS = (".zgroup", ".zattrs", ".zarray", "zarr.json")  # files by which a folder is a Zarr
COLOURS = 3
SMALLEST_TILE, TILE, LARGEST_TILE = 128, 512, 2048  # pixels of a side
MOST_GROUPS = 64  # of a container that are looked into for pictures
# Units of length that NGFF takes (UDUNITS), in um.
UM = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25_400.0,
    "nanometre": 1e-3,
    "micrometre": 1.0,
    "millimetre": 1e3,
    "centimetre": 1e4,
    "metre": 1e6,
}
OLDEST_AXES = ("t", "c", "z", "y", "x")  # of all pictures before NGFF 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    """A picture: arrays by the number of halvings, axes, scale, names of channels it states."""

    arrays: Mapping[int, Any]
    axes: tuple[str, ...]
    mpp: Mpp | None
    labels: tuple[str, ...] = ()

    @property
    def base(self) -> Any:  # noqa: ANN401  zarr's Array of any kind
        return self.arrays[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.side(self.base, "x"), self.side(self.base, "y")

    def side(self, array: Any, axis: str) -> int:  # noqa: ANN401
        return int(array.shape[self.axes.index(axis)])


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr, or a file a zip of one."""
    if path.is_dir():
        return any((path / name).is_file() for name in MARKS)
    return _root_in(path) is not None


def _root_in(path: Path) -> str | None:
    """Return the folder of a zip that is a Zarr, "" for all of it; None where none is.

    Raises:
        UnreadableSlideError: a part of it claims more than any chunk can need.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            parts = packed.infolist()
    except READ_FAULTS:
        return None
    if any(part.file_size > MAX_PART_BYTES for part in parts):
        raise UnreadableSlideError(path.name, "holds a part that is larger than any chunk can be")
    roots = [
        PurePosixPath(part.filename).parent
        for part in parts
        if PurePosixPath(part.filename).name in MARKS
    ]
    shortest = min(roots, key=lambda root: len(root.parts), default=None)
    return None if shortest is None else "/".join(shortest.parts)


class ZarrSamples:
    """The samples of the largest picture in the OME-Zarr at `path`, of a stack its first plane.

    Raises:
        UnreadableSlideError: it is none, or damaged, or of a kind that is not read.
    """

    description = "zarr"

    def __init__(self, path: Path) -> None:
        self._name, self._channels = path.name, [*range(COLOURS)]
        try:
            image = max(_images(path), key=lambda image: math.prod(image.size), default=None)
        except READ_FAULTS as error:
            raise UnreadableSlideError(
                path.name, f"is an OME-Zarr that cannot be read: {_words(error)}"
            ) from error
        if image is None:
            raise UnreadableSlideError(
                path.name,
                "is a Zarr without a picture by OME-Zarr's rules (multiscales); convert the slide "
                "anew, as bioformats2raw does",
            )
        self._image, self.scale = image, Scale(mpp=image.mpp)
        self._raise_unless_numbers()
        self.shape = self._shape()
        self.full_levels = self.shape.usable
        self.dtype = np.dtype(image.base.dtype)
        count = image.side(image.base, "c") if "c" in image.axes else 1
        self.names = image.labels if len(image.labels) == count else ("",) * count
        self.keep_channels(range(min(count, COLOURS)))

    def keep_channels(self, indices: Sequence[int]) -> None:
        """Read no other channels than these; at first they are those that can be colours."""
        self._channels = list(indices)

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self.shape = replace(self.shape, usable=levels)

    def _raise_unless_numbers(self) -> None:
        array = self._image.base
        if max(self._image.size) > MAX_SIDE:
            raise UnreadableSlideError(self._name, "claims more pixels than any slide has")
        if math.prod(array.chunks) * array.dtype.itemsize > MAX_TILE_BYTES:
            raise UnreadableSlideError(
                self._name,
                f"has chunks of more than {MAX_TILE_BYTES // 2**20} MiB; write it anew with "
                "smaller ones, of 512 x 512 pixels",
            )
        if array.dtype.kind not in "buif":
            raise UnreadableSlideError(self._name, f"has pixels of {array.dtype}; {REWRITE}")

    def _shape(self) -> PyramidShape:
        image, levels = self._image, 1 + max(self._image.arrays)
        chunks = dict(zip(image.axes, image.base.chunks, strict=True))
        wide, high = (
            side if SMALLEST_TILE <= side <= LARGEST_TILE else TILE
            for side in (chunks["x"], chunks["y"])
        )
        width, height = image.size
        return PyramidShape(
            width_level0=width,
            height_level0=height,
            tile_width=min(wide, width),
            tile_height=min(high, height),
            levels=levels,
            usable=tuple(sorted(levels - 1 - halvings for halvings in image.arrays)),
        )

    def box(self, tile: Tile) -> WorkBox:
        """Return the box of a tile in the pixels of its level."""
        image, shape = self._image, self.shape
        array = image.arrays[shape.levels - 1 - tile.level]
        whole = WorkBox(0, 0, image.side(array, "x"), image.side(array, "y"))
        wide, high = shape.tile_width, shape.tile_height
        return WorkBox(tile.x * wide, tile.y * high, wide, high).intersection(whole)

    def parts(self, tile: Tile) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Yield the one part of a tile, (height, width, channels).

        Raises:
            UnreadableSlideError: it is damaged.
        """
        yield self.box(tile), self.samples(tile)

    def samples(self, tile: Tile) -> NDArray[Any]:
        """Return the samples of a tile, (height, width, channels).

        Raises:
            UnreadableSlideError: it is damaged.
        """
        first = self._channels[0]
        follow = range(first, first + len(self._channels))
        if self._channels == [*follow]:
            return self._slice(tile, follow)
        planes = [self._slice(tile, range(index, index + 1)) for index in self._channels]
        return np.concatenate(planes, axis=2)

    def _slice(self, tile: Tile, channels: range) -> NDArray[Any]:
        """Return the samples of channels that follow each other."""
        image, shape, box = self._image, self.shape, self.box(tile)
        array = image.arrays[shape.levels - 1 - tile.level]
        place = {
            "x": slice(box.x, box.right),
            "y": slice(box.y, box.bottom),
            "c": slice(channels.start, channels.stop),
        }
        kept = [axis for axis in image.axes if axis in place]
        try:
            raw: NDArray[Any] = np.asarray(array[tuple(place.get(axis, 0) for axis in image.axes)])
        except READ_FAULTS as error:
            by = shape.downsample(tile.level)
            raise UnreadableSlideError(
                self._name,
                f"cannot be read at pixel ({box.x * by}, {box.y * by}): it is damaged, copy it "
                f"again ({_words(error)})",
            ) from error
        if "c" not in kept:
            raw, kept = raw[..., None], [*kept, "c"]
        return raw.transpose([kept.index(axis) for axis in "yxc"])

    def close(self) -> None:
        """Let go of the file of a zip."""
        self._image.base.store.close()


class ZarrTiles:
    """The tiles of the largest picture in the OME-Zarr at `path`, as colours.

    Of more than three channels the first three are read.

    Raises:
        UnreadableSlideError: it is none, or damaged, or of a kind that is not read.
    """

    description = "zarr"

    def __init__(self, path: Path) -> None:
        self._name, self._samples = path.name, ZarrSamples(path)
        self.scale, self.full_levels = self._samples.scale, self._samples.full_levels
        seen = [self._samples.samples(tile) for tile in self._some_tiles()]
        self._top = max(map(top_of, seen), default=0.0)
        for samples in seen:
            raise_unless_in_range(self._name, samples, self._top)
        self.kind = kind_of(len(self._samples.names), self._samples.dtype)

    @property
    def shape(self) -> PyramidShape:
        """The tiles there are."""
        return self._samples.shape

    def _some_tiles(self) -> Iterator[Tile]:
        for level in dict.fromkeys((self.shape.usable[0], self.shape.levels - 1)):
            yield from self.shape.samples(level)

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`, one after the other.

        Raises:
            UnreadableSlideError: a tile is damaged, or its pixels cannot be told.
        """
        return [self._read(tile) for tile in tiles]

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self._samples.keep_levels(levels)

    def _read(self, tile: Tile) -> Rgb:
        samples = self._samples.samples(tile)
        raise_unless_in_range(self._name, samples, self._top)
        return channels_to_rgb(samples, top=self._top)

    def close(self) -> None:
        """Let go of the file of a zip."""
        self._samples.close()


def _words(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _images(path: Path) -> Iterator[_Image]:
    """Yield the pictures of a container: of its first group, or of the groups in it."""
    from deeplab.slides.zarr_store import open_store  # noqa: PLC0415  0.4 s, only a Zarr needs it

    root = open_store(path, "" if path.is_dir() else _root_in(path) or "")
    if not hasattr(root, "group_values"):  # an array
        return
    groups = [root]
    if not _multiscales(root):
        # bioformats2raw numbers its pictures; a plate of wells has more of them, and of one size.
        groups = [group for _, group in zip(range(MOST_GROUPS), root.group_values(), strict=False)]
    for group in groups:
        for scales in _multiscales(group)[:1]:
            image = _image(path.name, group, scales)
            if image is not None:
                yield image


def _attributes(group: Any) -> Mapping[str, Any]:  # noqa: ANN401
    attributes: Mapping[str, Any] = group.attrs.asdict()
    inside = attributes.get("ome")
    return inside if isinstance(inside, dict) else attributes


def _multiscales(group: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401
    stated = _attributes(group).get("multiscales")
    return [each for each in stated if isinstance(each, dict)] if isinstance(stated, list) else []


def _image(name: str, group: Any, scales: Mapping[str, Any]) -> _Image | None:  # noqa: ANN401
    axes, units = _axes(scales.get("axes"))
    if not {"x", "y"} <= set(axes) or len(set(axes)) != len(axes):
        return None
    from deeplab.slides.zarr_store import check_chunks_of  # noqa: PLC0415  as above

    arrays: dict[int, Any] = {}
    datasets = [each for each in scales.get("datasets", ()) if isinstance(each, dict)]
    for dataset in datasets:
        array = group[_inside(name, dataset.get("path"))]
        if len(array.shape) != len(axes):
            return None
        size = array.shape[axes.index("x")], array.shape[axes.index("y")]
        base = arrays.get(0, array)
        whole = base.shape[axes.index("x")], base.shape[axes.index("y")]
        halvings = halvings_between(whole, size)
        if halvings is not None and array.dtype == base.dtype:
            check_chunks_of(array)
            arrays.setdefault(halvings, array)
    if not arrays or not all(arrays[0].shape):
        return None
    mpp = _mpp(axes, units, scales, datasets[0])
    return _Image(arrays=arrays, axes=axes, mpp=mpp, labels=_labels(group))


def _labels(group: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return the names of channels as OMERO writes them; empty where there are none."""
    omero = _attributes(group).get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    channels = channels if isinstance(channels, list) else []
    labels = (each.get("label") if isinstance(each, dict) else None for each in channels)
    return tuple(label.strip() if isinstance(label, str) else "" for label in labels)


def _axes(stated: object) -> tuple[tuple[str, ...], Mapping[str, object]]:
    """Return the names of axes in small letters, and their units."""
    if not isinstance(stated, list):
        return OLDEST_AXES, {}
    named = [each if isinstance(each, dict) else {"name": each} for each in stated]
    axes = tuple(str(each.get("name", "")).lower() for each in named)
    return axes, {axis: each.get("unit") for axis, each in zip(axes, named, strict=True)}


def _inside(name: str, path: object) -> str:
    """Return a path of an array, which must lie in its group.

    Raises:
        UnreadableSlideError: it does not.
    """
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    if not parts or ".." in parts or parts[0] == "/":
        raise UnreadableSlideError(
            name, f"names {str(path)[:200]!r} as a part of it, which lies outside: it is not opened"
        )
    return "/".join(parts)


def _mpp(
    axes: Sequence[str],
    units: Mapping[str, object],
    scales: Mapping[str, Any],
    dataset: Mapping[str, Any],
) -> Mpp | None:
    um = [UM.get(str(units.get(axis))) for axis in "xy"]
    factors = [_factors(each, len(axes)) for each in (dataset, scales)]
    if factors[0] is None or None in um:
        return None
    try:
        x, y = (
            float(unit) * math.prod(float(each[axes.index(axis)]) for each in factors if each)
            for axis, unit in zip("xy", um, strict=True)
            if unit is not None
        )
        return Mpp(x, y)
    except (TypeError, ValueError, OverflowError, ConfigError):
        return None


def _factors(holder: Mapping[str, Any], count: int) -> Sequence[Any] | None:
    """Return the scales of the axes that a dataset or all of them state."""
    stated = holder.get("coordinateTransformations")
    for each in stated if isinstance(stated, list) else ():
        if isinstance(each, dict) and each.get("type") == "scale":
            factors = each.get("scale")
            return factors if isinstance(factors, list) and len(factors) == count else None
    return None
