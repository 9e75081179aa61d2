"""Tiles of the pages of a TIFF as tifffile decodes them: any codec, any kind of pixels.

large_image's readers turn many kinds of pixels black, grey or inside out, and some read a strip
again for each tile of it. This reader takes a page as TIFF says what it is, or refuses it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION

from deeplab.config.channels import RGB
from deeplab.errors import UnreadableSlideError
from deeplab.geometry.frames import WorkBox
from deeplab.slides.codestreams import claim_of
from deeplab.slides.colours import top_of
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.pixel_kinds import (
    PixelKind,
    raise_unless_in_range,
    raise_unless_readable,
    undecodable,
)
from deeplab.slides.pyramid import PyramidShape, Rgb, Tile, halvings_between, spread_tiles

STRIP_ROWS = 256  # rows of a page without tiles that are read together
MOST_TILES_SEEN = 24  # to tell how bright its pixels can be
COLOURS = 3
MOST_BANDS = 4  # of those that lie apart: more than colours and alpha are not read
BYTE = 8  # bits
# Codecs that make room for what a segment says itself.
CLAIMING = frozenset(
    {
        *(COMPRESSION.OJPEG, COMPRESSION.JPEG, COMPRESSION.ALT_JPEG, COMPRESSION.JPEG_LOSSY),
        *(COMPRESSION.APERIO_JP2000_YCBC, COMPRESSION.JPEG_2000_LOSSY),
        *(COMPRESSION.APERIO_JP2000_RGB, COMPRESSION.JPEG2000),
        *(COMPRESSION.JPEGXL, COMPRESSION.JPEGXL_DNG, COMPRESSION.JPEGXR),
        *(COMPRESSION.JPEGXR_NDPI, COMPRESSION.WEBP, COMPRESSION.WEBP_DEPRECATED),
        *(COMPRESSION.PNG, COMPRESSION.LERC),
    }
)
SEPARATE = 2  # TIFF's word for a picture whose samples lie apart


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffImage:
    """A picture of a TIFF: its planes, each a page of the same form, at each of its scales.

    `levels` maps the number of halvings to the planes; 0 is always among them. `bands` counts all
    channels of the picture, of which planes are held for the first three only.
    """

    levels: Mapping[int, tuple[tifffile.TiffPage, ...]]
    bands: int

    @property
    def page(self) -> tifffile.TiffPage:
        """The first page of full size."""
        return self.levels[0][0]


def pages_of(tiff: tifffile.TiffFile, *, start: int = 0) -> Iterator[tifffile.TiffPage]:
    """Yield all pages of a file that hold a picture, those inside of others after them.

    Those before the page `start` come last.
    """
    pages = list(tiff.pages)
    for each in (*pages[start:], *pages[:start]):
        page = each.aspage()
        for one in (page, *(page.pages or ())):
            whole = one.aspage()
            if whole.imagewidth and whole.imagelength:
                yield whole


def size_of(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return the width and the height of a page as it is stored."""
    return page.imagewidth, page.imagelength


def largest(pages: Sequence[tifffile.TiffPage]) -> tifffile.TiffPage:
    """Return the page of the most pixels, the first of several."""
    return max(pages, key=lambda page: math.prod(size_of(page)))


def picture_of(
    name: str, tiff: tifffile.TiffFile, width: int, height: int, *, start: int = 0
) -> TiffImage | None:
    """Return the first picture of this size in a file, from a page on; None where there is none.

    Raises:
        UnreadableSlideError: some of its channels lie in other files.
    """
    pages = list(pages_of(tiff, start=start))
    size = {width, height}  # either way round: a page may be stored turned
    base = next((p for p in pages if {p.imagewidth, p.imagelength} == size), None)
    if base is None:
        return None
    by_channels = _by_channels(name, tiff, base)
    if by_channels:
        return by_channels
    levels = {0: (base,)}
    for page in pages:
        halvings = halvings_between(size_of(base), size_of(page))
        if halvings and halvings not in levels and _form(page) == _form(base):
            levels[halvings] = (page,)
    return TiffImage(levels=levels, bands=base.samplesperpixel)


def _by_channels(name: str, tiff: tifffile.TiffFile, base: tifffile.TiffPage) -> TiffImage | None:
    """Return the picture of `base`, where each channel is a page; of a stack its first."""
    if base.samplesperpixel != 1:
        return None
    series = next(
        (s for s in tiff.series if any(p and p.offset == base.offset for p in s.levels[0].pages)),
        None,
    )
    if series is None or "C" not in series.axes:
        return None
    axes = [
        (axis, n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YXS"
    ]
    channel = [axis for axis, _ in axes].index("C")
    stride = math.prod(n for _, n in axes[channel + 1 :])
    wanted = [c * stride for c in range(min(COLOURS, axes[channel][1]))]
    levels: dict[int, tuple[tifffile.TiffPage, ...]] = {}
    for level in series.levels:
        planes = [level.pages[i] if i < len(level.pages) else None for i in wanted]
        there = tuple(plane.aspage() for plane in planes if plane is not None)
        if len(there) < len(wanted):
            raise UnreadableSlideError(
                name, "lacks pages of its channels, or they lie in other files; give a whole file"
            )
        halvings = halvings_between(size_of(base), size_of(there[0]))
        if halvings is not None and all(_form(p) == _form(base) for p in there):
            levels.setdefault(halvings, there)
    return TiffImage(levels=levels, bands=axes[channel][1]) if 0 in levels else None


def _form(page: tifffile.TiffPage) -> tuple[object, ...]:
    return (page.photometric, page.samplesperpixel, page.dtype, page.planarconfig)


class PageSamples:
    """The samples of a picture of the TIFF at `path`; its files are held open.

    Args:
        path: of the TIFF.
        picture: its pages.
        bands: which samples of a pixel of one page are read; None: the first that can be colours.
    """

    description = "tifffile"

    def __init__(
        self, path: Path, picture: TiffImage, *, bands: Sequence[int] | None = None
    ) -> None:
        self._name, self._levels, self._bands = path.name, picture.levels, bands
        self.shape, self.full_levels = _shape(picture), _full_levels(picture)
        self.dtype = np.dtype(picture.page.dtype)
        self._tables: dict[int, bytes | None] = {}
        self._files: dict[str, int] = {}
        try:
            self._open()
        except OSError:
            self.close()
            raise

    def _open(self) -> None:
        """Open what holds the pages, each file once; their readers' own handles may be closed."""
        for page in (page for planes in self._levels.values() for page in planes):
            self._tables[id(page)] = page.jpegtables
            there = page.parent.filehandle.path
            if there not in self._files:
                self._files[there] = os.open(there, os.O_RDONLY)

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self.shape = replace(self.shape, usable=levels)

    def box(self, tile: Tile) -> WorkBox:
        """Return the box of a tile in the pixels of its level."""
        page = self._planes(tile)[0]
        whole = WorkBox(0, 0, page.imagewidth, page.imagelength)
        wide, high = self.shape.tile_width, self.shape.tile_height
        return WorkBox(tile.x * wide, tile.y * high, wide, high).intersection(whole)

    def parts(self, tile: Tile) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Yield the boxes of the segments that meet a tile and their samples.

        These are (height, width, bands). Segments that a scanner left out are passed over.

        Raises:
            UnreadableSlideError: one is damaged.
        """
        planes = self._planes(tile)
        for cell, index in _cells(planes[0], self.box(tile)):
            samples = self._cell(tile, planes, index)
            if samples is not None:
                yield cell, samples

    def _planes(self, tile: Tile) -> tuple[tifffile.TiffPage, ...]:
        return self._levels[self.shape.levels - 1 - tile.level]

    def _cell(
        self, tile: Tile, planes: Sequence[tifffile.TiffPage], index: int
    ) -> NDArray[Any] | None:
        """Return the samples of a segment, (height, width, bands); None where it was left out."""
        apart = planes[0].planarconfig == SEPARATE
        count = len(planes[0].dataoffsets) // planes[0].samplesperpixel if apart else 0
        segments = [
            self._segment(tile, page, index + band * count)
            for page in planes
            for band in (self._separate(page) if apart else (0,))
        ]
        there = [segment for segment in segments if segment is not None]
        if len(there) < len(segments):
            return None
        samples = there[0] if len(there) == 1 else np.concatenate(there, axis=2)
        if self._bands is None or apart:
            return samples
        return samples[:, :, list(self._bands)]

    def _separate(self, page: tifffile.TiffPage) -> Sequence[int]:
        """Return which of the samples of a page that lie apart are read."""
        if self._bands is not None:
            return self._bands
        return range(min(page.samplesperpixel, MOST_BANDS))

    def _segment(self, tile: Tile, page: tifffile.TiffPage, index: int) -> NDArray[Any] | None:
        count, offset = page.databytecounts[index], page.dataoffsets[index]
        if not count:
            return None
        try:
            data = os.pread(self._files[page.parent.filehandle.path], count, offset)
            _raise_if_larger(data, page)
            decoded = page.decode(data, index, jpegtables=self._tables[id(page)])[0]
            samples: NDArray[Any] = np.asarray(decoded)[0]
            if samples.dtype != page.dtype:
                raise TypeError(f"{samples.dtype} instead of {page.dtype}")
        except (KeyError, NotImplementedError) as error:  # tifffile's words for a codec it has not
            raise UnreadableSlideError(self._name, undecodable(page)) from error
        except READ_FAULTS as error:
            by = self.shape.downsample(tile.level)
            x0, y0 = tile.x * self.shape.tile_width * by, tile.y * self.shape.tile_height * by
            raise UnreadableSlideError(
                self._name,
                f"cannot be read at pixel ({x0}, {y0}): the file is cut short or damaged; "
                f"copy it again ({error})",
            ) from error
        return samples

    def close(self) -> None:
        """Let go of the files."""
        for handle in self._files.values():
            os.close(handle)
        self._files = {}


class PageTiles:
    """The tiles of a picture of the TIFF at `path`, as colours.

    Segments that a scanner left out are white.

    Raises:
        UnreadableSlideError: its pixels are of a kind that is not read, or damaged.
    """

    description = "tifffile"

    def __init__(self, path: Path, picture: TiffImage) -> None:
        self._name, self._page = path.name, picture.page
        for planes in picture.levels.values():
            raise_unless_readable(path.name, planes[0])
        self._kind = PixelKind.of(self._page, planes=len(picture.levels[0]), top=0.0)
        self.kind = self._kind.words(picture.bands, np.dtype(self._page.dtype))
        self._samples = PageSamples(path, picture)
        try:
            self._see()
        except (UnreadableSlideError, OSError):
            self.close()
            raise

    @property
    def shape(self) -> PyramidShape:
        """The tiles there are."""
        return self._samples.shape

    @property
    def full_levels(self) -> tuple[int, ...]:
        """The levels that the file has."""
        return self._samples.full_levels

    def _see(self) -> None:
        """See by some tiles how bright pixels can be."""
        tiles = [tile for level in self.full_levels[-2:] for tile in self.shape.samples(level)]
        if self._page.dtype != np.uint8:
            tiles += spread_tiles(self.shape, self.full_levels[0], MOST_TILES_SEEN)
        seen = [
            samples for tile in dict.fromkeys(tiles) for _, samples in self._samples.parts(tile)
        ]
        bits = self._page.bitspersample
        top = 2.0**bits - 1 if bits < BYTE else max(map(top_of, seen), default=0.0)
        self._kind = replace(self._kind, top=top)
        for samples in seen:
            raise_unless_in_range(self._name, samples, top)

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
        box = self._samples.box(tile)
        rgb = np.full((box.height, box.width, len(RGB)), RGB.outside, np.uint8)
        for cell, samples in self._samples.parts(tile):
            raise_unless_in_range(self._name, samples, self._kind.top)
            part = cell.intersection(box)
            rgb[part.within(box)] = self._kind.rgb(samples[part.within(cell)])
        return rgb

    def close(self) -> None:
        """Let go of the files."""
        self._samples.close()


def _raise_if_larger(data: bytes, page: tifffile.TiffPage) -> None:
    """Refuse a segment that claims more pixels than its page has room for, before it is decoded.

    Raises:
        ValueError: it does.
    """
    if page.compression not in CLAIMING:  # other bytes may look like a head by chance
        return
    claim, (high, wide) = claim_of(data), _cell_size(page)
    if claim is None:
        raise ValueError("it does not say how many pixels it holds")
    samples = 1 if page.planarconfig == SEPARATE else page.samplesperpixel
    if claim.width > wide or claim.height > high or claim.samples > samples + COLOURS:
        raise ValueError(
            f"it claims {claim.width} x {claim.height} pixels of {claim.samples} samples"
        )


def _full_levels(picture: TiffImage) -> tuple[int, ...]:
    levels = max(picture.levels)
    return tuple(sorted(levels - halvings for halvings in picture.levels))


def _shape(picture: TiffImage) -> PyramidShape:
    base = picture.page
    high, wide = _cell_size(base)
    rows = high if base.is_tiled else high * math.ceil(STRIP_ROWS / high)
    return PyramidShape(
        width_level0=base.imagewidth,
        height_level0=base.imagelength,
        tile_width=min(wide, base.imagewidth),
        tile_height=min(rows, base.imagelength),
        levels=1 + max(picture.levels),
        usable=_full_levels(picture),
    )


def _cell_size(page: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of what is decoded at once."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _cells(page: tifffile.TiffPage, box: WorkBox) -> Iterator[tuple[WorkBox, int]]:
    """Yield the segments that meet a box of a page: where each lies, and its index."""
    high, wide = _cell_size(page)
    across = math.ceil(page.imagewidth / wide)
    whole = WorkBox(0, 0, page.imagewidth, page.imagelength)
    for row in range(box.y // high, math.ceil(box.bottom / high)):
        for column in range(box.x // wide, math.ceil(box.right / wide)):
            cell = WorkBox(column * wide, row * high, wide, high).intersection(whole)
            yield cell, row * across + column
