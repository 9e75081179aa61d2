"""Whether the smaller levels of a slide show the same as its full one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deeplab.config.channels import RGB, Channels
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides.pyramid import PyramidShape, PyramidSlide, Rgb, Tile, TileReader

logger = logging.getLogger(__name__)

BLOCK = 8  # pixels of a level that are averaged: how a scanner makes smaller ones matters less
SIDE = 8 * BLOCK  # of the places that are compared
PLACES = 3  # along each axis
MOST_HALVINGS = 5  # 32 x 32 pixels are read for one
MOST_DIFFERENCE = 12.0  # byte steps; levels of scanners differ by 1 or 2, other pictures by 20


class _OneLevel:
    """A reader of which one level counts."""

    description, kind = "", ""

    def __init__(self, reader: TileReader, level: int) -> None:
        self._reader = reader
        self.shape: PyramidShape = replace(reader.shape, usable=(level, reader.shape.levels - 1))

    def read(self, tiles: Sequence[Tile]) -> list[Rgb]:
        return self._reader.read(tiles)

    def close(self) -> None:
        """The reader is another's."""


def levels_of_one_picture(
    reader: TileReader, levels: Collection[int], name: str, *, channels: Channels = RGB
) -> tuple[int, ...]:
    """Return those of some `levels` that show what the finest shows, in some places.

    A file may hold another picture of exactly half the size, which readers take for a level.

    Raises:
        UnreadableSlideError: a tile cannot be read.
    """
    finest = reader.shape.levels - 1
    kept = [finest]
    for level in sorted(levels, reverse=True):
        if level == finest:
            continue
        # Far levels are compared with the next finer one that was found to be right.
        if (
            kept[-1] - level > MOST_HALVINGS
            or _difference(reader, level, kept[-1], channels) < MOST_DIFFERENCE
        ):
            kept.append(level)
        else:
            logger.info("%s: level %d is another picture and is not used", name, level)
    return tuple(sorted(kept))


def _difference(reader: TileReader, level: int, finer: int, channels: Channels) -> float:
    """Return the mean difference between two levels, in byte steps, in some places."""
    by = reader.shape.downsample(level)
    pictures = []
    for used in (level, finer):
        slide = PyramidSlide(
            _OneLevel(reader, used), name="", mpp=Mpp.square(1.0), channels=channels
        )
        frame = slide.frame(float(by))
        boxes = _places(frame.width, frame.height)
        pictures.append([_blocks(slide.read(frame, box)) for box in boxes])
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(*pictures, strict=True)]))


def _places(width: int, height: int) -> list[WorkBox]:
    wide, high = min(width, SIDE), min(height, SIDE)
    return [
        WorkBox(x, y, wide, high)
        for x in sorted({(width - wide) * each // (PLACES - 1) for each in range(PLACES)})
        for y in sorted({(height - high) * each // (PLACES - 1) for each in range(PLACES)})
    ]


def _blocks(rgb: Rgb) -> NDArray[np.float64]:
    """Means of blocks, (rows, columns, channels); a last part of one is left out."""
    height, width = (max(1, side // BLOCK) for side in rgb.shape[:2])
    cut = rgb[: height * BLOCK, : width * BLOCK].astype(np.float64)
    rows, columns = min(BLOCK, cut.shape[0]), min(BLOCK, cut.shape[1])
    means: NDArray[np.float64] = cut.reshape(height, rows, width, columns, -1).mean(axis=(1, 3))
    return means
