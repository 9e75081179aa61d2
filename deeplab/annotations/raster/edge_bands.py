"""Shapes of any number made ready to be drawn row by row: their edges lie on disk, in bands.

A row of pixels is bounded by the edges that cross it and by no others, so a band of rows needs
those of its edges only, however far a shape reaches.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import DrawnLayer, Edges, Labels, draw_layers
from deeplab.annotations.shapes import Annotations, Shape
from deeplab.errors import OutputError
from deeplab.geometry.frames import WorkBox, WorkFrame

MOST_BANDS = 256
LEAST_ROWS = 256  # of a band, level-0 pixels
AT_ONCE = 4096  # shapes
ENDS = ("x_top", "y_top", "x_bottom", "y_bottom")
EDGE = np.dtype([("value", np.uint8), ("polygon", np.uint32), *((end, np.float64) for end in ENDS)])
EdgeRows = NDArray[np.void]  # of dtype EDGE


class EdgeBands:
    """The shapes of one slide, to be drawn in boxes that follow each other downwards.

    Args:
        annotations: the slide's layers; they may lie on disk.
        values: layer name to label value, in drawing order, as for a `ShapeIndex`.
        height_level0: of the slide.
        folder: for the work files; it must outlive the drawing.

    Raises:
        OutputError: there is no room for them.
    """

    def __init__(
        self, annotations: Annotations, values: Mapping[str, int], height_level0: int, folder: Path
    ) -> None:
        self._folder = folder
        self._rows = max(LEAST_ROWS, -(-height_level0 // MOST_BANDS))
        self._last = max(0, -(-height_level0 // self._rows) - 1)
        self._held: tuple[int, list[DrawnLayer]] = (-1, [])
        for name, value in values.items():
            for edges in _chunks(annotations.layer(name).shapes, value):
                self._keep(edges)

    def draw(self, box: WorkBox, frame: WorkFrame) -> Labels:
        """Labels of a box of work pixels, uint8 (box.height, box.width)."""
        out = np.zeros((box.height, box.width), np.uint8)
        middles = (np.arange(box.y, box.bottom, dtype=np.float64) + 0.5) * frame.scale_y
        y = box.y
        for band, rows in groupby(self._band(middles).tolist()):
            part = WorkBox(box.x, y, box.width, len(list(rows)))
            draw_layers(out[part.within(box)], self._layers(band), part, frame)
            y = part.bottom
        return out

    def _band(self, y_level0: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the bands of some heights; the first and the last reach beyond the slide."""
        return np.clip(y_level0 // self._rows, 0, self._last).astype(np.int64)

    def _path(self, band: int) -> Path:
        return self._folder / f"{band}.edges"

    def _keep(self, edges: EdgeRows) -> None:
        # A pixel more on each side: rounding must not part a row from an edge that crosses it.
        first, last = self._band(edges["y_top"] - 1), self._band(edges["y_bottom"] + 1)
        count = last - first + 1
        which = np.repeat(np.arange(len(edges)), count)
        band = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + first[which]
        order = np.argsort(band, kind="stable")
        try:
            for run in _runs(band[order]):
                rows = order[run]
                with self._path(int(band[rows[0]])).open("ab") as file:
                    file.write(edges[which[rows]].tobytes())
        except OSError as error:
            raise OutputError(self._folder, error.strerror or str(error)) from error

    def _layers(self, band: int) -> list[DrawnLayer]:
        """Return the layers of a band; those used last stay in memory."""
        if self._held[0] != band:
            path = self._path(band)
            found = np.fromfile(path, EDGE) if path.exists() else np.zeros(0, EDGE)
            self._held = band, [_layer(found[run]) for run in _runs(found["value"].astype(int))]
        return self._held[1]


def _chunks(shapes: Collection[Shape], value: int) -> Iterator[EdgeRows]:
    """Yield the edges of a layer, of some thousand shapes at a time."""
    left = iter(shapes)
    before = 0
    while polygons := [shape.polygon for shape in islice(left, AT_ONCE)]:
        edges = Edges.of(polygons)
        rows = np.empty(len(edges.x_top), EDGE)
        rows["value"], rows["polygon"] = value, edges.polygon + before
        for end in ENDS:
            rows[end] = getattr(edges, end)
        before += len(polygons)
        yield rows


def _layer(rows: EdgeRows) -> DrawnLayer:
    """Edges of one value, those of a polygon together."""
    first = np.flatnonzero(np.diff(rows["polygon"].astype(np.int64), prepend=-1))
    left, right = (
        reduce.reduceat(pick(rows["x_top"], rows["x_bottom"]), first)
        for reduce, pick in ((np.minimum, np.minimum), (np.maximum, np.maximum))
    )
    top = np.minimum.reduceat(rows["y_top"], first)
    bottom = np.maximum.reduceat(rows["y_bottom"], first)
    ends = {end: np.ascontiguousarray(rows[end]) for end in ENDS}
    edges = Edges(**ends, first=np.append(first, len(rows)))
    tree = shapely.STRtree(shapely.box(left, top, right, bottom))
    return DrawnLayer(int(rows["value"][0]), edges, tree)


def _runs(keys: NDArray[np.int64]) -> Iterator[slice]:
    """Yield where equal keys stand side by side."""
    ends = np.append(np.flatnonzero(np.diff(keys)) + 1, len(keys))
    start = 0
    for end in ends.tolist() if len(keys) else ():
        yield slice(start, end)
        start = end
