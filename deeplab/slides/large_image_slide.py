"""Tiles of a local file, through the large_image source that is fastest and right."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from large_image_source_openslide import OpenslideFileTileSource
from large_image_source_pil import PILFileTileSource
from numpy.typing import NDArray

from deeplab.errors import ConfigError, UnreadableSlideError
from deeplab.geometry.frames import Mpp
from deeplab.slides.admission import Admitted, admit
from deeplab.slides.colours import ALPHA_BANDS, channels_to_rgb, kind_of, to_rgb, top_of
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.ome import ome_mpp
from deeplab.slides.pyramid import PyramidShape, Rgb, Tile, levels_worth_reading
from deeplab.slides.sources import TifffileSource, TiffSource
from deeplab.slides.tiff_check import TiffFacts, tiff_facts

logger = logging.getLogger(__name__)

# Where large_image's sources keep open files, which they do not close themselves.
HANDLES = ("_openslide", "_tf", "_pilImage")
MAX_SINGLE_PIXELS = 16384  # side of an image without tiles; it is held in memory whole


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """The tiles of a file and the scale it states, if it does."""

    tiles: LargeImageTiles
    mpp: Mpp | None


class LargeImageTiles:
    """The tiles of one large_image source.

    Where channels are pictures of their own (frames), the first three are taken.
    """

    def __init__(self, source: Any, path: Path) -> None:  # noqa: ANN401  large_image has no types
        self._source, self._path = source, path
        self._top = 0.0
        self._to_rgb: Callable[..., Rgb] = to_rgb
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
        """The pixels of `tiles`, one after the other.

        Raises:
            UnreadableSlideError: a tile is missing or damaged.
        """
        return [self._read(tile) for tile in tiles]

    def take_as_channels(self) -> None:
        """Take the bands for channels of which none is alpha."""
        self._to_rgb = channels_to_rgb

    def look(self, tiles: Sequence[Tile]) -> None:
        """See by some tiles what the pixels are, and how bright they can be.

        Raises:
            UnreadableSlideError: a tile is missing or damaged.
        """
        raws = [self._raw(tile) for tile in tiles]
        bands = len(self._channels) or np.atleast_3d(raws[0]).shape[2]
        if self._to_rgb is to_rgb and bands in ALPHA_BANDS:
            bands -= 1
        self.kind = kind_of(bands, raws[0].dtype)
        self._top = max(map(top_of, raws))

    def _read(self, tile: Tile) -> Rgb:
        return self._to_rgb(self._raw(tile), top=self._top)

    def _raw(self, tile: Tile) -> NDArray[Any]:
        """The pixels as the file has them, (height, width, bands)."""
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

    def stated_mpp(self) -> Mpp | None:
        """The um per pixel that the file states."""
        stated = self._source.getNativeMagnification()
        if not stated.get("mm_x") or not stated.get("mm_y"):
            return None
        try:
            return Mpp(1000 * stated["mm_x"], 1000 * stated["mm_y"])
        except ConfigError:
            return None

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


def open_file(path: Path) -> OpenedFile:
    """The tiles of the file at `path`.

    The tiff source is several times faster than OpenSlide and is taken where it gives the same
    pixels; then come OpenSlide, tifffile and, for images without tiles, PIL.

    Raises:
        SlideNotFoundError: there is no such file.
        UnreadableSlideError: it is no image, or cut short, or damaged.
    """
    admitted = admit(path)
    if admitted.kind == "zarr":
        raise UnreadableSlideError(path, "is a folder; give the slide's file")
    facts = tiff_facts(path) if admitted.kind == "tiff" else TiffFacts(is_tiff=False)
    openslide = _try(OpenslideFileTileSource, path) if admitted.kind != "picture" else None
    chosen = _choose(path, facts, openslide, admitted)
    if chosen is None:
        raise UnreadableSlideError(
            path.name, "is not an image that can be read here, or it is damaged"
        )
    chosen.look(_samples(chosen))
    scales = [tiles.stated_mpp() for tiles in (chosen, openslide) if tiles is not None]
    if openslide is not None and openslide is not chosen:
        openslide.close()
    stated = next((scale for scale in scales if scale), None)
    return OpenedFile(tiles=chosen, mpp=stated or (ome_mpp(path) if facts.is_tiff else None))


def _choose(
    path: Path, facts: TiffFacts, openslide: LargeImageTiles | None, admitted: Admitted
) -> LargeImageTiles | None:
    if facts.has_empty_tiles:
        # OpenSlide paints a tile that the scanner left out as glass, the others paint it black.
        return openslide
    if facts.channels != "colour":
        return _choose_channels(path, facts, admitted)
    # A file that is no TIFF is kept from the TIFF readers, which would leave it open.
    tiff = _try(TiffSource, path) if facts.is_tiff else None
    if tiff is not None and openslide is not None and not _same(tiff, openslide):
        logger.info("%s: the tiff source differs from OpenSlide and is not used", path.name)
        tiff = None
    chosen = tiff or openslide
    if chosen is None and facts.is_tiff:
        chosen = _try(TifffileSource, path, follow=bool(admitted.parts))
    if chosen is None and admitted.kind in ("tiff", "picture"):
        chosen = _try(PILFileTileSource, path, maxSize=MAX_SINGLE_PIXELS)
    return chosen


def _choose_channels(path: Path, facts: TiffFacts, admitted: Admitted) -> LargeImageTiles | None:
    """A reader of channels: OpenSlide shows the first of them only."""
    chosen = None
    if facts.channels == "interleaved":
        chosen = _try(TiffSource, path)
    chosen = chosen or _try(TifffileSource, path, follow=bool(admitted.parts))
    if chosen is not None:
        chosen.take_as_channels()
    return chosen


def _try(kind: Any, path: Path, **options: int) -> LargeImageTiles | None:  # noqa: ANN401  no types
    try:
        return LargeImageTiles(kind(str(path), noCache=True, **options), path)
    except READ_FAULTS as error:
        logger.debug("%s: not through the %s source: %s", path.name, kind.name, error)
        return None


def _samples(tiles: LargeImageTiles) -> list[Tile]:
    """Some tiles of level 0, and of the next level that the file has."""
    return [tile for level in tiles.full_levels[-2:] for tile in tiles.shape.samples(level)]


def _same(one: LargeImageTiles, other: LargeImageTiles) -> bool:
    """Whether two sources agree, to the bit, on the slide's size and on a sample of its tiles."""
    if one.shape != other.shape:
        return False
    samples = _samples(one)
    try:
        pairs = list(zip(samples, one.read(samples), other.read(samples), strict=True))
    except UnreadableSlideError:
        return False
    for tile, first, second in pairs:
        width, height = one.shape.size(tile.level)
        rows = slice(0, max(0, height - tile.y * one.shape.tile_height))
        columns = slice(0, max(0, width - tile.x * one.shape.tile_width))
        if not np.array_equal(first[rows, columns], second[rows, columns]):
            return False
    return True
