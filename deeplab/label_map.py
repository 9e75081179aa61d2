"""A map of labels as a tiled TIFF with smaller levels, its scale and the table of its classes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp, WorkBox

Labels = NDArray[np.uint8]  # (height, width)
Draw = Callable[[WorkBox, int], Labels]  # the labels of a box of pixels of a level

TILE = 256  # pixels; what viewers expect of a tiled TIFF
UM_PER_CM = 1e4
MOST_SIDE = 10**8  # level-0 pixels; the largest slides have about 10**6
MOST_SCALE = 1e6


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What one value of a label map stands for."""

    value: int
    name: str
    colour: tuple[int, int, int]
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """What a label map says of itself.

    Attributes:
        rows: its classes, in the order in which they were drawn.
        scale_x: level-0 pixels per pixel.
        scale_y: level-0 pixels per pixel.
        width_level0: of the slide; 0: not known.
        height_level0: of the slide; 0: not known.
    """

    rows: tuple[LabelRow, ...]
    scale_x: float = 1.0
    scale_y: float = 1.0
    width_level0: int = 0
    height_level0: int = 0

    def text(self) -> str:
        """The table as JSON in ASCII, which is what a TIFF's description may hold."""
        return json.dumps({"labels": [asdict(row) for row in self.rows], **self._size()})

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The table that `text` made; None where it is anything else."""
        try:
            found = json.loads(text)
            rows = tuple(_row(**row) for row in found.pop("labels"))
            table = cls(rows=rows, **found)
            good = all(1 / MOST_SCALE <= each <= MOST_SCALE for each in table.scales)
            size = (table.width_level0, table.height_level0)
            return table if good and all(_is_side(side) for side in size) else None
        except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    @property
    def scales(self) -> tuple[float, float]:
        """Level-0 pixels per pixel along x and y."""
        return self.scale_x, self.scale_y

    def palette(self) -> Labels:
        """Red, green and blue of each value, uint8 (256, 3)."""
        colours = np.zeros((256, 3), np.uint8)
        for row in self.rows:
            colours[row.value] = row.colour
        return colours

    def _size(self) -> dict[str, float]:
        return {
            "scale_x": self.scale_x,
            "scale_y": self.scale_y,
            "width_level0": self.width_level0,
            "height_level0": self.height_level0,
        }


def write_label_map(
    path: Path, draw: Draw, *, width: int, height: int, mpp: Mpp | None, table: LabelTable
) -> None:
    """Writes a BigTIFF of 256-pixel tiles under Deflate; a row of tiles is drawn at a time.

    Args:
        path: where to.
        draw: uint8 (box.height, box.width) of a box of level k, whose pixels are 2**k wide; labels
            are numbers of things, so they are to be picked and never averaged.
        width: of level 0 of the map.
        height: of level 0 of the map.
        mpp: um per pixel of the map, where it is known.
        table: goes into the description; its colours become the palette.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    levels = max(0, math.ceil(math.log2(max(width, height) / TILE)))
    colours = table.palette().T.astype(np.uint16) * 257
    per_cm = (UM_PER_CM / mpp.x, UM_PER_CM / mpp.y) if mpp else (1.0, 1.0)
    with whole_file(path) as part, tifffile.TiffWriter(part, bigtiff=True) as writer:
        for level in range(levels + 1):
            size = _level_box(width, height, level)
            writer.write(
                _tiles(draw, size, level),
                shape=(size.height, size.width),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="palette",
                colormap=colours,
                compression="deflate",
                resolution=(per_cm[0] / 2**level, per_cm[1] / 2**level) if mpp else per_cm,
                resolutionunit="CENTIMETER" if mpp else "NONE",
                description=table.text() if level == 0 else None,
                metadata=None,
                subifds=levels if level == 0 else None,
                subfiletype=1 if level else 0,
            )


def _row(value: int, name: str, colour: Any, description: str = "") -> LabelRow:  # noqa: ANN401
    red, green, blue = (int(part) for part in colour)
    if not (0 <= value <= 255 and min(red, green, blue) >= 0 and max(red, green, blue) <= 255):
        raise ValueError("no such label")
    called, said = (str(text).encode(errors="replace").decode() for text in (name, description))
    called = called if called.strip() else f"class {value}"
    return LabelRow(int(value), called, (red, green, blue), said)


def _is_side(side: object) -> bool:
    return type(side) is int and 0 <= side <= MOST_SIDE


def _level_box(width: int, height: int, level: int) -> WorkBox:
    return WorkBox(0, 0, -(-width // 2**level), -(-height // 2**level))


def _tiles(draw: Draw, size: WorkBox, level: int) -> Iterator[Labels]:
    for y in range(0, size.height, TILE):
        band = WorkBox(0, y, size.width, min(TILE, size.height - y))
        labels = draw(band, level)
        for x in range(0, size.width, TILE):
            tile = np.zeros((TILE, TILE), np.uint8)
            part = labels[:, x : x + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile
