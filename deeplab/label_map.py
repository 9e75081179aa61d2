"""A map of labels or of numbered objects as a tiled TIFF with smaller levels, scale and table."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp, WorkBox

Labels = NDArray[np.uint8]  # (height, width)
Values = NDArray[Any]  # (height, width)
Draw = Callable[[WorkBox, int], Labels]  # the labels of a box of pixels of a level
DrawIds = Callable[[WorkBox, int], NDArray[np.uint32]]  # the numbers of objects, likewise

TILE = 256  # pixels; what viewers expect of a tiled TIFF
UM_PER_CM = 1e4
MOST_SIDE = 10**8  # level-0 pixels; the largest slides have about 10**6
MOST_SCALE = 1e6
MOST_IDS = (1 << 32) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlace:
    """Where a map lies on its slide.

    Attributes:
        scale_x: level-0 pixels per pixel.
        scale_y: level-0 pixels per pixel.
        width_level0: of the slide; 0: not known.
        height_level0: of the slide; 0: not known.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    width_level0: int = 0
    height_level0: int = 0

    @property
    def scales(self) -> tuple[float, float]:
        """Level-0 pixels per pixel along x and y."""
        return self.scale_x, self.scale_y


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What one value of a label map stands for."""

    value: int
    name: str
    colour: tuple[int, int, int]
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable(MapPlace):
    """What a label map says of itself.

    Attributes:
        rows: its classes, in the order in which they were drawn.
    """

    rows: tuple[LabelRow, ...]

    def text(self) -> str:
        """Return the table as JSON in ASCII, which is what a TIFF's description may hold."""
        return _text("labels", self)

    @staticmethod
    def parse(text: str) -> LabelTable | None:
        """Return the table that `text` made; None where it is anything else."""
        return _parse(
            text, "labels", lambda rows, size: LabelTable(rows=tuple(map(_row, rows)), **size)
        )

    def palette(self) -> Labels:
        """Red, green and blue of each value, uint8 (256, 3)."""
        colours = np.zeros((256, 3), np.uint8)
        for row in self.rows:
            colours[row.value] = row.colour
        return colours


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A class and the numbers of its objects, from `first` to `last`; none where that is less."""

    name: str
    colour: tuple[int, int, int]
    first: int
    last: int
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTable(MapPlace):
    """What a map of numbered objects says of itself.

    Attributes:
        rows: its classes, in the order in which they were drawn; a class may have several.
    """

    rows: tuple[InstanceRow, ...]

    def text(self) -> str:
        """Return the table as JSON in ASCII, which is what a TIFF's description may hold."""
        return _text("instances", self)

    @staticmethod
    def parse(text: str) -> InstanceTable | None:
        """Return the table that `text` made; None where it is anything else."""

        def make(rows: Any, size: dict[str, Any]) -> InstanceTable:  # noqa: ANN401  # parsed JSON
            return InstanceTable(rows=tuple(map(_instance_row, rows)), **size)

        return _parse(text, "instances", make)


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
    colours = table.palette().T.astype(np.uint16) * 257
    palette = {"photometric": "palette", "colormap": colours}
    _write(path, draw, (width, height), mpp, table.text(), np.dtype(np.uint8), palette)


def write_instance_map(
    path: Path, draw: DrawIds, *, width: int, height: int, mpp: Mpp | None, table: InstanceTable
) -> None:
    """Write a BigTIFF as `write_label_map` does, of numbers of objects, uint32.

    Args:
        path: where to.
        draw: uint32 (box.height, box.width) of a box of level k, whose pixels are 2**k wide.
        width: of level 0 of the map.
        height: of level 0 of the map.
        mpp: um per pixel of the map, where it is known.
        table: goes into the description.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    grey = {"photometric": "minisblack"}
    _write(path, draw, (width, height), mpp, table.text(), np.dtype(np.uint32), grey)


def _write(
    path: Path,
    draw: Callable[[WorkBox, int], Values],
    size: tuple[int, int],
    mpp: Mpp | None,
    text: str,
    kind: np.dtype[Any],
    look: dict[str, Any],
) -> None:
    width, height = size
    levels = max(0, math.ceil(math.log2(max(width, height) / TILE)))
    per_cm = (UM_PER_CM / mpp.x, UM_PER_CM / mpp.y) if mpp else (1.0, 1.0)
    with whole_file(path) as part, tifffile.TiffWriter(part, bigtiff=True) as writer:
        for level in range(levels + 1):
            box = _level_box(width, height, level)
            writer.write(
                _tiles(draw, box, level, kind),
                shape=(box.height, box.width),
                dtype=kind,
                tile=(TILE, TILE),
                compression="deflate",
                resolution=(per_cm[0] / 2**level, per_cm[1] / 2**level) if mpp else per_cm,
                resolutionunit="CENTIMETER" if mpp else "NONE",
                description=text if level == 0 else None,
                metadata=None,
                subifds=levels if level == 0 else None,
                subfiletype=1 if level else 0,
                **look,
            )


Table = TypeVar("Table", LabelTable, InstanceTable)


def _text(key: str, table: LabelTable | InstanceTable) -> str:
    told = asdict(table)
    return json.dumps({key: told.pop("rows"), **told})


def _parse(text: str, key: str, make: Callable[[Any, dict[str, Any]], Table]) -> Table | None:
    try:
        found = json.loads(text)
        table = make(found.pop(key), found)
        good = all(1 / MOST_SCALE <= each <= MOST_SCALE for each in table.scales)
        size = (table.width_level0, table.height_level0)
        return table if good and all(_is_side(side) for side in size) else None
    except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _row(given: Any) -> LabelRow:  # noqa: ANN401  # parsed JSON
    row = LabelRow(**given)
    if not 0 <= row.value <= 255:
        raise ValueError("no such label")
    name, colour, description = _look(row.name, row.colour, row.description)
    return LabelRow(int(row.value), name or f"class {row.value}", colour, description)


def _instance_row(given: Any) -> InstanceRow:  # noqa: ANN401  # parsed JSON
    row = InstanceRow(**given)
    first, last = int(row.first), int(row.last)
    if not (1 <= first <= MOST_IDS and first - 1 <= last <= MOST_IDS):
        raise ValueError("no such objects")
    name, colour, description = _look(row.name, row.colour, row.description)
    return InstanceRow(name or "objects", colour, first, last, description)


def _look(name: Any, colour: Any, description: Any) -> tuple[str, tuple[int, int, int], str]:  # noqa: ANN401  # parsed JSON
    """Return the words and colour of a row; a name that is blank is ""."""
    red, green, blue = (int(part) for part in colour)
    if not (min(red, green, blue) >= 0 and max(red, green, blue) <= 255):
        raise ValueError("no such colour")
    called, said = (str(text).encode(errors="replace").decode() for text in (name, description))
    return called if called.strip() else "", (red, green, blue), said


def _is_side(side: object) -> bool:
    return type(side) is int and 0 <= side <= MOST_SIDE


def _level_box(width: int, height: int, level: int) -> WorkBox:
    return WorkBox(0, 0, -(-width // 2**level), -(-height // 2**level))


def _tiles(
    draw: Callable[[WorkBox, int], Values], size: WorkBox, level: int, kind: np.dtype[Any]
) -> Iterator[Values]:
    for y in range(0, size.height, TILE):
        band = WorkBox(0, y, size.width, min(TILE, size.height - y))
        values = draw(band, level)
        for x in range(0, size.width, TILE):
            tile = np.zeros((TILE, TILE), kind)
            part = values[:, x : x + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile
