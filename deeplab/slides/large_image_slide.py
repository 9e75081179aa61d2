"""Tiles of a local file through a source of large_image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import ConfigError, UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.slides.colours import ALPHA_BANDS, kind_of, to_rgb, top_of
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.pyramid import PyramidShape, Rgb, Tile, levels_worth_reading
from deeplab.slides.sources import TifffileSource

logger = logging.getLogger(__name__)

# Where large_image's sources keep open files, which they do not close themselves.
HANDLES = ("_openslide", "_tf", "_pilImage")


class LargeImageTiles:
    """The tiles of one large_image source.

    Where channels are pictures of their own (frames), the first three are taken.
    """

    def __init__(self, source: Any, path: Path) -> None:  # noqa: ANN401  large_image has no types
        self._source, self._path = source, path
        self._top = 0.0
        self._channels = _channel_frames(source)
        self.kind = ""
        # Tiles are kept once, by the slide: large_image's cache would hold each a second time and
        # its one lock would stand in the way of reading from many threads.
        source.cache, source.cache_lock = _NoCache(), None
        self.description = f"large_image {source.name}"
        self.full_levels = _full_levels(source)
        # tifffile makes the levels that a file lacks by leaving pixels out, not by averaging them.
        makes = not isinstance(source, TifffileSource)
        self.shape = PyramidShape(
            width_level0=int(source.sizeX),
            height_level0=int(source.sizeY),
            tile_width=int(source.tileWidth),
            tile_height=int(source.tileHeight),
            levels=int(source.levels),
            usable=levels_worth_reading(self.full_levels) if makes else self.full_levels,
        )

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`, one after the other.

        Raises:
            UnreadableSlideError: a tile is missing or damaged.
        """
        return [self._read(tile) for tile in tiles]

    @property
    def source(self) -> str:
        """The name of the large_image source."""
        return str(self._source.name)

    @property
    def vendor(self) -> str:
        """The maker of the scanner, by OpenSlide; of other sources empty."""
        opened = getattr(self._source, "_openslide", None)
        return opened.properties.get("openslide.vendor", "") if opened else ""

    @property
    def pictures(self) -> int:
        """The number of pictures of which the first is read, as a Leica slide has regions."""
        return len(getattr(self._source, "_series", (0,)))

    def look(self, tiles: Sequence[Tile]) -> None:
        """See by some tiles what the pixels are, and how bright they can be.

        Raises:
            UnreadableSlideError: a tile is missing or damaged.
        """
        raws = [self._raw(tile) for tile in tiles]
        bands = len(self._channels) or np.atleast_3d(raws[0]).shape[2]
        if bands in ALPHA_BANDS:
            bands -= 1
        self.kind = kind_of(bands, raws[0].dtype)
        self._top = max(map(top_of, raws))

    def _read(self, tile: Tile) -> Rgb:
        return to_rgb(self._raw(tile), top=self._top)

    def _raw(self, tile: Tile) -> NDArray[Any]:
        """Return the pixels as the file has them, (height, width, bands)."""
        try:
            frames = [
                np.atleast_3d(
                    self._source.getTile(
                        tile.x, tile.y, tile.level, frame=frame, numpyAllowed="always"
                    )
                )
                for frame in self._channels[:3] or (0,)
            ]
        except READ_FAULTS as error:
            by = self.shape.downsample(tile.level)
            x0, y0 = tile.x * self.shape.tile_width * by, tile.y * self.shape.tile_height * by
            raise UnreadableSlideError(
                self._path.name,
                f"cannot be read at pixel ({x0}, {y0}): the file is cut short or damaged; "
                f"copy it again ({error})",
            ) from error
        return frames[0] if len(frames) == 1 else np.concatenate(frames, axis=2)

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self.shape = replace(self.shape, usable=levels)

    def stated_mpp(self) -> Mpp | None:
        """Return the um per pixel that the file states."""
        stated = self._source.getNativeMagnification()
        if not stated.get("mm_x") or not stated.get("mm_y"):
            return None
        try:
            return Mpp(1000 * stated["mm_x"], 1000 * stated["mm_y"])
        except ConfigError:
            return None

    def stated_magnification(self) -> float | None:
        """Return the magnification that the file states."""
        stated = self._source.getNativeMagnification().get("magnification")
        return float(stated) if stated else None

    def close(self) -> None:
        """Let go of the file."""
        for handle in HANDLES:
            opened = getattr(self._source, handle, None)
            if opened is not None:
                opened.close()
        self._source = None


class _NoCache:
    """Stands in for large_image's cache of tiles and keeps none."""

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __setitem__(self, key: str, value: object) -> None:
        pass


def _channel_frames(source: Any) -> tuple[int, ...]:  # noqa: ANN401  large_image has no types
    """The numbers of the pictures that are channels of the first one; none where it is alone."""
    metadata = source.getMetadata()
    count = metadata.get("IndexRange", {}).get("IndexC", 1)
    if count < 2 or metadata.get("bandCount") != 1:
        return ()
    stride = metadata["IndexStride"]["IndexC"]
    return tuple(range(0, count * stride, stride))


def _full_levels(source: Any) -> tuple[int, ...]:  # noqa: ANN401  large_image has no types
    there = source._nonemptyLevelsList()  # noqa: SLF001  large_image has no public word for it
    return tuple(z for z, level in enumerate(there) if level is not None)


def try_source(source: Any, path: Path, **options: Any) -> LargeImageTiles | None:  # noqa: ANN401
    """Return the tiles of `path` through a large_image source; None where it does not take it."""
    try:
        return LargeImageTiles(source(str(path), noCache=True, **options), path)
    except READ_FAULTS as error:
        logger.debug("%s: not through the %s source: %s", path.name, source.name, error)
        return None
