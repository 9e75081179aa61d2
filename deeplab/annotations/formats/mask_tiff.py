"""The pixels of a label mask in a TIFF, a few tiles or strips at a time."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from deeplab.annotations.formats.gather import check_is_file
from deeplab.annotations.formats.mask_values import CHANNELS, Pixels, ValueReader, ValuesOf
from deeplab.errors import AnnotationError, ConfigError
from deeplab.geometry.frames import Mpp, WorkBox

MAX_PIXELS = 1 << 36  # the largest slides have half of that
MAX_SIDE = 1 << 22
MAX_SEGMENT = 1 << 28  # pixels of one tile or strip, which is decoded whole
MAX_PAGES = 64  # a pyramid halves its sides
PIECE = 1 << 22  # pixels handed on at a time
SIDE = 2048  # pixels of a piece of tiles
UM_PER_UNIT = {2: 25400.0, 3: 10000.0}  # inch and centimetre
ORIENTATION = 274  # the tag of a TIFF, and of EXIF
UPRIGHT = 1
TURNED = "is to be turned or mirrored (orientation {}), which is not done: save it as it is seen"
WITH_LOSS = (6, 7, 33007, 34892)  # the kinds of JPEG
DAMAGE = (
    *(OSError, ValueError, TypeError, LookupError, RuntimeError, ArithmeticError),
    *(struct.error, tifffile.TiffFileError),
)


@dataclass(frozen=True, slots=True)
class MaskTiff:
    """The largest picture in an open TIFF, and how its pixels are labels."""

    path: Path
    page: tifffile.TiffPage
    description: str
    labels_of: ValuesOf

    @property
    def size(self) -> WorkBox:
        """Its pixels."""
        return WorkBox(0, 0, int(self.page.imagewidth), int(self.page.imagelength))

    def mpp(self) -> Mpp | None:
        """Return the um per pixel that its resolution tells, if it tells any."""
        try:
            unit = UM_PER_UNIT.get(int(self.page.resolutionunit))
            x, y = self.page.resolution
            return Mpp(unit / x, unit / y) if unit and x and y else None
        except (ConfigError, *DAMAGE):  # a damaged tag may hold several values, or none
            return None

    def pieces(self) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Boxes in reading order, and the values of each, (height, width); labels are uint8.

        Raises:
            AnnotationError: a part cannot be decoded, or a value is no label.
        """
        grid = _Grid.of(self.page)
        for box in grid.pieces():
            try:
                labels = self._decode(grid, box)
            except DAMAGE as error:
                raise AnnotationError(
                    self.path, f"is damaged: its pixels cannot be read ({error})"
                ) from error
            yield box, labels

    def _decode(self, grid: _Grid, box: WorkBox) -> NDArray[Any]:
        if grid.whole:
            return self.labels_of(_mapped(self.path, self.page)[box.within(self.size)], self.path)
        shape = (box.height, box.width, int(self.page.samplesperpixel))
        out = np.zeros(shape, self.page.dtype)
        file = self.page.parent.filehandle
        for number in grid.segments(box):
            if count := self.page.databytecounts[number]:
                file.seek(self.page.dataoffsets[number])
                found, place, _ = self.page.decode(file.read(count), number)
                if found is None:
                    continue
                part = found[0]
                row, column = place[2] - box.y, place[3] - box.x
                space = out[row : row + part.shape[0], column : column + part.shape[1]]
                space[...] = part[: space.shape[0], : space.shape[1]]  # the last tiles hang over
        return self.labels_of(out, self.path)


@contextmanager
def open_mask_tiff(
    path: Path, *, labels_of: ValuesOf | None = None, channels: Sequence[int] = CHANNELS
) -> Iterator[MaskTiff]:
    """The mask in a TIFF, checked before any memory is taken for it.

    Args:
        path: the file.
        labels_of: (height, width) of pixels (height, width, channels) as they are in it;
            without it their values are the labels.
        channels: the numbers of channels that it may have.

    Raises:
        AnnotationError: it is no TIFF, is cut short, or is no picture of labels.
    """
    size = check_is_file(path)
    try:
        tiff = tifffile.TiffFile(path)
    except DAMAGE as error:
        raise AnnotationError(path, f"is not a TIFF that can be read: {error}") from error
    with tiff:
        try:
            pages = [page.aspage() for page in islice(tiff.pages, MAX_PAGES)]
            if not pages:
                raise AnnotationError(path, "is cut short: it has no picture")
            page = max(pages, key=_pixels)
            _check_is_alone(page, pages, path)
            _check(page, size, path, channels)
            mask = MaskTiff(path, page, str(pages[0].description), labels_of or ValueReader())
        except DAMAGE as error:
            raise AnnotationError(path, f"is cut short or damaged: {error}") from error
        yield mask


def _pixels(page: tifffile.TiffPage) -> int:
    return int(page.imagewidth * page.imagelength)


def _check_is_alone(
    page: tifffile.TiffPage, pages: Sequence[tifffile.TiffPage], path: Path
) -> None:
    """Raise AnnotationError where a stack holds further labels, as a page for each class."""
    size = (page.imagewidth, page.imagelength)
    if (count := [(each.imagewidth, each.imagelength) for each in pages].count(size)) > 1:
        raise AnnotationError(
            path,
            f"holds {count} pictures of {size[0]} x {size[1]} pixels, of which a mask has one:"
            " save that which is meant, with a value for each class",
        )


def _check(page: tifffile.TiffPage, size: int, path: Path, channels: Sequence[int]) -> None:
    """Raises AnnotationError where this is no mask, or not all of it."""
    width, height = int(page.imagewidth), int(page.imagelength)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise AnnotationError(
            path,
            f"has {width} x {height} pixels; masks may have {MAX_PIXELS}, {MAX_SIDE} on a side",
        )
    planes = page.samplesperpixel > 1 and page.planarconfig != 1
    if page.samplesperpixel not in channels or page.imagedepth != 1 or planes:
        raise AnnotationError(
            path, f"is a picture of {page.samplesperpixel} channels, not a mask with one value each"
        )
    if page.dtype is None or page.dtype.kind not in ("b", "i", "u", "f"):
        kind = page.dtype.name if page.dtype else f"{page.bitspersample} bits"
        raise AnnotationError(path, f"has pixels of type {kind}; labels are whole numbers")
    if (way := page.tags.valueof(ORIENTATION, default=UPRIGHT)) != UPRIGHT:
        raise AnnotationError(path, TURNED.format(way))
    if int(page.compression) in WITH_LOSS:
        raise AnnotationError(
            path, "is compressed as JPEG, which changes labels; write it under Deflate or LZW"
        )
    _check_segments(page, size, path)


def _check_segments(page: tifffile.TiffPage, size: int, path: Path) -> None:
    grid = _Grid.of(page)
    if not grid.whole and grid.width * grid.height > MAX_SEGMENT:
        raise AnnotationError(
            path,
            f"has parts of {grid.width} x {grid.height} pixels that can be read whole only;"
            " write it in tiles",
        )
    offsets, counts = page.dataoffsets, page.databytecounts
    listed = max(map(sum, zip(offsets, counts, strict=True)), default=0)
    # Tiles that share their bytes would let a small file claim any number of shapes.
    if len(offsets) != grid.columns * grid.rows or max(listed, sum(counts)) > size:
        raise AnnotationError(path, f"is cut short: it has {size:,} bytes, less than it lists")


@dataclass(frozen=True, slots=True)
class _Grid:
    """How a picture is cut into tiles or strips of `width` x `height` pixels.

    `whole` says that its bytes lie in the file as the pixels do.
    """

    size: WorkBox
    width: int
    height: int
    whole: bool

    @classmethod
    def of(cls, page: tifffile.TiffPage) -> _Grid:
        size = WorkBox(0, 0, int(page.imagewidth), int(page.imagelength))
        if page.is_tiled:
            return cls(size, int(page.tilewidth), int(page.tilelength), whole=False)
        whole = len(page.dataoffsets) == 1 and bool(page.is_memmappable)
        rows = min(int(page.rowsperstrip), size.height)
        return cls(size, size.width, size.height if whole else rows, whole)

    @property
    def columns(self) -> int:
        return math.ceil(self.size.width / self.width)

    @property
    def rows(self) -> int:
        return math.ceil(self.size.height / self.height)

    def pieces(self) -> Iterator[WorkBox]:
        """Boxes of some tiles or strips each, in reading order."""
        width = self.width * max(1, SIDE // self.width)
        unit = 1 if self.whole else self.height
        height = unit * max(1, PIECE // (min(width, self.size.width) * unit))
        for y in range(0, self.size.height, height):
            for x in range(0, self.size.width, width):
                yield WorkBox(x, y, width, height).intersection(self.size)

    def segments(self, box: WorkBox) -> Iterator[int]:
        """Yield the numbers of the tiles or strips of a piece."""
        for row in range(box.y // self.height, math.ceil(box.bottom / self.height)):
            for column in range(box.x // self.width, math.ceil(box.right / self.width)):
                yield row * self.columns + column


def _mapped(path: Path, page: tifffile.TiffPage) -> Pixels:
    """Return the pixels in the file, paged in by the system as they are looked at."""
    shape = (int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel))
    kind = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    return np.memmap(path, kind, "r", page.dataoffsets[0], shape)
