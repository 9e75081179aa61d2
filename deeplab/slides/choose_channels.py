"""Which reader the channels of a slide get: the same gate as for colours, samples as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from deeplab.config.channels import ChannelRequest
from deeplab.errors import DeeplabError, UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides.admission import Admitted, admit
from deeplab.slides.channel_tiles import ChannelTiles, SampleReader, find_channels
from deeplab.slides.choose import open_file
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.levels import levels_of_one_picture
from deeplab.slides.ome_zarr import ZarrSamples, is_zarr
from deeplab.slides.pyramid import Tile, TileReader
from deeplab.slides.scale import Scale, stated_scale
from deeplab.slides.strip_bands import raise_if_in_one_piece
from deeplab.slides.tiff_channels import COLOURS, channels_of
from deeplab.slides.tiff_check import tiff_facts
from deeplab.slides.tiff_pages import PageSamples


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedChannels:
    """The tiles of the channels of a file, and the scale that it states."""

    tiles: ChannelTiles
    scale: Scale


class ColourSamples:
    """The colours of a slide as its channels R, G and B."""

    dtype = np.dtype(np.uint8)

    def __init__(self, reader: TileReader) -> None:
        self._reader, self._bands = reader, [*range(len(COLOURS))]
        self.description, self.shape = reader.description, reader.shape
        self.full_levels = reader.shape.usable

    def keep_bands(self, bands: Sequence[int]) -> None:
        """Read no others of the colours than these."""
        self._bands = list(bands)

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self.shape = replace(self.shape, usable=levels)

    def box(self, tile: Tile) -> WorkBox:
        """Return the box of a tile in the pixels of its level."""
        return self.shape.box(tile)

    def parts(self, tile: Tile) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Yield the one part of a tile, (height, width, channels)."""
        box = self.box(tile)
        (rgb,) = self._reader.read([tile])
        yield box, rgb[: box.height, : box.width, self._bands]

    def close(self) -> None:
        """Give back what the reader holds."""
        self._reader.close()


def open_channels(path: Path, request: ChannelRequest) -> OpenedChannels:
    """Return the tiles of some channels of the slide at `path`.

    Raises:
        SlideNotFoundError: there is no such file.
        ChannelError: it lacks a channel, or its values do not fit the window.
        UnreadableSlideError: it is no image, or cut short, or damaged.
    """
    admitted = admit(path)
    if admitted.kind == "tiff":
        return _open_tiff(path, admitted, request)
    if admitted.kind == "zarr" and is_zarr(path):
        return _open_zarr(path, request)
    opened = open_file(path)
    samples = ColourSamples(opened.tiles)
    try:
        indices = find_channels(path.name, request, COLOURS)
    except DeeplabError:
        samples.close()
        raise
    samples.keep_bands(indices)
    tiles = open_tiles(path.name, samples, request, indices=indices, names=COLOURS)
    return OpenedChannels(tiles=tiles, scale=opened.scale)


def _open_zarr(path: Path, request: ChannelRequest) -> OpenedChannels:
    samples = ZarrSamples(path)
    try:
        indices = find_channels(path.name, request, samples.names)
    except DeeplabError:
        samples.close()
        raise
    samples.keep_channels(indices)
    tiles = open_tiles(path.name, samples, request, indices=indices, names=samples.names)
    return OpenedChannels(tiles=tiles, scale=samples.scale)


def _open_tiff(path: Path, admitted: Admitted, request: ChannelRequest) -> OpenedChannels:
    tiff_facts(path)
    try:
        with tifffile.TiffFile(path, _multifile=bool(admitted.parts)) as tiff:
            found = channels_of(path.name, tiff)
            indices = find_channels(path.name, request, found.names)
            raise_if_in_one_piece(path.name, found.page)
            picture, bands = found.picture(indices)
            scale = stated_scale(path, tiff, None, picture)
            samples = PageSamples(path, picture, bands=bands)
    except DeeplabError:
        raise
    except READ_FAULTS as error:
        raise UnreadableSlideError(
            path.name,
            f"cannot be read: it is damaged, or a TIFF of a kind that is not known here ({error})",
        ) from error
    tiles = open_tiles(path.name, samples, request, indices=indices, names=found.names)
    return OpenedChannels(tiles=tiles, scale=scale)


def open_tiles(
    name: str,
    samples: SampleReader,
    request: ChannelRequest,
    *,
    indices: Sequence[int],
    names: Sequence[str],
) -> ChannelTiles:
    """Return the tiles of channels as bytes; `samples` are closed where that cannot be.

    Raises:
        ChannelError: an intensity window does not fit the values.
        SlideError, ServerError: as reading does.
    """
    try:
        tiles = ChannelTiles(name, samples, request, indices=indices, names=names)
        right = levels_of_one_picture(tiles, tiles.full_levels, name, channels=request.channels)
        if right != tiles.full_levels:
            tiles.keep_levels(right)
    except DeeplabError:
        samples.close()
        raise
    return tiles
