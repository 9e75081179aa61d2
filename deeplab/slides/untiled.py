"""An image without tiles, decoded once into scratch space and read from there as tiles.

A reader of such a file decodes it anew, whole or a strip of it, for each part that it is asked for:
300 megapixels took minutes for each pass over them.
"""

from __future__ import annotations

import io
import logging
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from deeplab.errors import UnreadableSlideError
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.limits import TILED_COPY
from deeplab.slides.pyramid import FAR, PyramidShape, Rgb, Tile, levels_worth_reading

TILE = 512
BAND_ROWS = 512  # decoded and kept at a time; whole pixels of the first far level
FEW_PIXELS = 2**24  # decoded in a second and kept in memory, so nobody needs to be told

logger = logging.getLogger(__name__)


class UntiledTiles:
    """The tiles of an image that comes as bands of rows, from top to bottom.

    Args:
        path: of the slide, for what is said of it.
        width: pixels.
        height: pixels.
        bands: uint8 (`BAND_ROWS`, width, 3); the last may have fewer rows.
        description: what decodes the bands, for logs.

    Raises:
        UnreadableSlideError: it is cut short or damaged, or there is no scratch space for it.
    """

    kind = ""

    def __init__(
        self, path: Path, width: int, height: int, bands: Iterable[Rgb], *, description: str
    ) -> None:
        self._path, self.description = path, description
        self.shape = _shape(width, height)
        self.full_levels = (self.shape.levels - 1,)
        self.brightest = 0  # of all bytes
        self._scratch: IO[bytes] = io.BytesIO()
        if width * height > FEW_PIXELS:
            self._scratch = self._make_room(width, height)
        try:
            self._levels = self._decode(bands)
        except READ_FAULTS as error:
            self.close()
            raise UnreadableSlideError(
                path.name, f"is cut short or damaged; copy it again ({error})"
            ) from error
        except UnreadableSlideError:
            self.close()
            raise

    def keep_levels(self, levels: tuple[int, ...]) -> None:
        """Read no other levels than these."""
        self.shape = replace(self.shape, usable=levels)

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        """Return the pixels of `tiles`, cut at the slide's edge, one after the other."""
        return [
            self._levels[z][y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
            for z, x, y in tiles
        ]

    def close(self) -> None:
        """Give back the scratch space."""
        self._levels = {}
        if not isinstance(self._scratch, io.BytesIO):
            self._scratch.close()

    def _make_room(self, width: int, height: int) -> IO[bytes]:
        needed, folder = 3 * width * height, tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise UnreadableSlideError(
                self._path.name,
                f"has no tiles and is decoded once, into {needed:,} bytes of scratch space, but "
                f"{folder} has {free:,}; set TMPDIR to a folder with more, or {TILED_COPY}",
            )
        logger.warning(
            "%s has no tiles: its %d megapixels are decoded once, into %d MB of scratch space in "
            "%s; to read it faster next time, %s",
            *(self._path.name, width * height / 1e6, needed / 1e6, folder, TILED_COPY),
        )
        return tempfile.TemporaryFile()

    def _decode(self, bands: Iterable[Rgb]) -> dict[int, Rgb]:
        """Return the pixels of all levels, each (height, width, 3)."""
        width, height = self.shape.width_level0, self.shape.height_level0
        averages, rows = [], 0
        for band in bands:
            self._write(band)
            averages.append(_averaged(band, 2**FAR))
            self.brightest = max(self.brightest, int(band.max(initial=0)))
            rows += len(band)
        if rows != height:
            raise UnreadableSlideError(
                self._path.name, "is cut short: rows of it are missing; copy it again"
            )
        levels = {self.shape.levels - 1: self._written(width, height)}
        far = np.concatenate(averages)
        for level in reversed(self.shape.usable[:-1]):
            levels[level] = far
            far = _averaged(far, 2)
        return levels

    def _write(self, band: Rgb) -> None:
        try:
            self._scratch.write(np.ascontiguousarray(band).data)
        except OSError as error:
            raise UnreadableSlideError(
                self._path.name,
                f"has no tiles and is decoded once, but its scratch space is full: "
                f"{error.strerror}; set TMPDIR to a folder with more, or {TILED_COPY}",
            ) from error

    def _written(self, width: int, height: int) -> Rgb:
        shape = (height, width, 3)
        if isinstance(self._scratch, io.BytesIO):
            return np.frombuffer(self._scratch.getbuffer(), np.uint8).reshape(shape)
        self._scratch.flush()
        return np.memmap(self._scratch, np.uint8, "r", shape=shape)


def _shape(width: int, height: int) -> PyramidShape:
    levels = 1 + max(0, math.ceil(math.log2(max(width, height) / TILE)))
    usable = [
        level
        for level in levels_worth_reading((levels - 1,))
        if min(width, height) >> (levels - 1 - level)  # something is left of it
    ]
    return PyramidShape(
        width_level0=width,
        height_level0=height,
        tile_width=TILE,
        tile_height=TILE,
        levels=levels,
        usable=tuple(usable),
    )


def _averaged(rgb: Rgb, by: int) -> Rgb:
    """Means of squares of `by` pixels; a last part of one is left out."""
    height, width = len(rgb) // by, rgb.shape[1] // by
    if not height or not width:
        return np.empty((height, width, 3), np.uint8)
    whole = np.ascontiguousarray(rgb[: height * by, : width * by])
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
