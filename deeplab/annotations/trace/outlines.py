"""Labels to shapes: outlines run along pixel edges, so that drawing them gives the labels again.

Tiles come in reading order and are joined across their seams. What is kept of a tile is its
outlines, the last row and column of its labels and a few numbers per object, so memory grows with
the outlines and never with the slide.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import DTypeLike, NDArray

from deeplab.annotations.raster.rasterize import Labels
from deeplab.annotations.trace.corners import find_outlines
from deeplab.annotations.trace.objects import ObjectTable, Values
from deeplab.annotations.trace.rings import Corners, Rings, RingStore, part_at_touches, whole_rings
from deeplab.geometry.frames import WorkBox, WorkFrame

Integers = NDArray[np.int64]

TILE = 2048  # of a whole array: bounds the memory beside the outlines
CHUNK = 2048  # objects turned into polygons at a time


@dataclass(frozen=True, slots=True)
class TracedShape:
    """One object: pixels of one label that hold together through their sides.

    `polygon` is in level-0 pixels with holes as interiors; `area_px_work` counts its pixels;
    `confidence` is the mean over them, None where none was given. `label_probability` tells how
    surely an object that was found as one has its label, None where nobody says.
    """

    label: int
    polygon: shapely.Polygon
    area_px_work: int
    confidence: float | None
    label_probability: float | None = None


def trace(labels: Labels, frame: WorkFrame | None = None) -> list[TracedShape]:
    """Return the objects of a whole label array, from the top, each row from the left.

    Args:
        labels: uint8 (height_work, width_work); 0 is background.
        frame: where the array lies; without it level 0 is the array.
    """
    height, width = labels.shape
    if not labels.size:
        return []
    area = WorkBox(0, 0, width, height)
    tracer = SeamTracer(frame or WorkFrame(1.0, 1.0, width, height, 1.0), area)
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            box = WorkBox(x, y, TILE, TILE).intersection(area)
            tracer.add(labels[box.within(area)], None, box)
    return list(tracer.finish())


def trace_instances(
    instances: NDArray[np.int32], box: WorkBox, frame: WorkFrame
) -> NDArray[np.object_]:
    """Outline the objects 1 to k of a map: (k,) polygons in level-0 pixels.

    Objects may touch. Of one in several parts the largest is outlined, and None stands for a
    number that no pixel has.

    Args:
        instances: int32 (box.height, box.width); 0 is background.
        box: where the map lies, work pixels.
        frame: the frame of the box.
    """
    counts = np.bincount(instances.ravel())[1:]
    polygons: NDArray[np.object_] = np.full(len(counts), None, np.object_)
    if not counts.any():
        return polygons
    store = RingStore(box)
    outlines = find_outlines(np.pad(instances, 1), open_right=False, open_bottom=False)
    store.add(outlines, instances, -1, box)
    rings = store.finish()
    for numbers, chosen in _by_object(rings, rings.owner):
        polygons[numbers] = _polygons(rings, chosen, frame)
    # The outside of a second part is taken for a hole, so pixels are missing.
    areas = shapely.area(polygons) / (frame.scale_x * frame.scale_y)
    for number in np.flatnonzero((counts > 0) & (np.rint(areas) != counts)):
        rows, columns = np.nonzero(instances == number + 1)
        y, x = int(rows.min()), int(columns.min())
        part = instances[y : rows.max() + 1, x : columns.max() + 1] == number + 1
        place = WorkBox(box.x + x, box.y + y, part.shape[1], part.shape[0])
        polygons[number] = _largest_part(part, place, frame)
    return polygons


def _largest_part(mask: NDArray[np.bool_], box: WorkBox, frame: WorkFrame) -> shapely.Polygon:
    tracer = SeamTracer(frame, box)
    tracer.add(mask.astype(np.uint8), None, box)
    return max(tracer.finish(), key=lambda part: part.area_px_work).polygon


class _Border:
    """Labels and object numbers along a row or column; number -1 where there is no object."""

    def __init__(self, length: int, kind: DTypeLike) -> None:
        self.labels = np.zeros(length, kind)
        self.numbers = np.full(length, -1, np.int64)


class SeamTracer:
    """Traces labels that come tile by tile.

    Args:
        frame: the slide's work frame.
        area: what the tiles cover together, in work pixels.
        spill: a folder to keep outlines in instead of memory; it must outlive the tracing.
        kind: of the labels, uint8, or uint32 where they number objects.
    """

    def __init__(
        self,
        frame: WorkFrame,
        area: WorkBox,
        spill: Path | None = None,
        kind: DTypeLike = np.uint8,
    ) -> None:
        self._frame, self._area, self._kind = frame, area, np.dtype(kind)
        self._next = (area.x, area.y)
        self._row_height = 0
        # One more in front: the column left of the area.
        self._above, self._below = (_Border(area.width + 1, kind) for _ in range(2))
        self._left = _Border(0, kind)
        self._objects = ObjectTable()
        self._rings = RingStore(area, spill)

    def add(self, labels: Values, confidence: NDArray[np.float32] | None, box: WorkBox) -> None:
        """Takes the next tile.

        Args:
            labels: (box.height, box.width) of the tracer's kind; 0 is background.
            confidence: float32 on the same or a coarser grid over the box, or None.
            box: in work pixels; tiles come in reading order and cover the area without gap or
                overlap.

        Raises:
            ValueError: the tile is not the one expected next, or has another size than its box.
        """
        self._check(labels, box)
        if box.x == self._area.x:
            self._left = _Border(box.height, self._kind)
            self._row_height = box.height
        padded = self._pad(labels, box)
        right = _Border(box.height, self._kind)
        columns = self._columns(box)
        self._below.labels[columns] = labels[-1]
        self._below.numbers[columns] = -1
        if padded.any():
            numbered, base = self._objects.number(labels, confidence)
            self._unite(labels[0], numbered[0], base, self._above, columns)
            self._unite(labels[:, 0], numbered[:, 0], base, self._left, slice(None))
            outlines = find_outlines(
                padded,
                open_right=box.right < self._area.right,
                open_bottom=box.bottom < self._area.bottom,
            )
            self._rings.add(outlines, numbered, base, box)
            right.labels[:] = labels[:, -1]
            right.numbers[:] = numbered[:, -1].astype(np.int64) + base
            self._below.numbers[columns] = numbered[-1].astype(np.int64) + base
        self._left = right
        self._next = (box.right, box.y)
        if box.right == self._area.right:
            self._next = (self._area.x, box.bottom)
            self._above, self._below = self._below, self._above

    def finish(self) -> Iterator[TracedShape]:
        """Yield the objects, ordered by their first pixel: from the top, each row from the left.

        May be called again: polygons take many times the memory of the outlines kept here.

        Raises:
            ValueError: tiles are missing.
        """
        if self._next != (self._area.x, self._area.bottom):
            raise ValueError(f"tiles are missing from {self._next} on")
        rings = self._rings.finish()
        roots = self._objects.roots()
        labels, confidence = self._objects.labels(), self._objects.confidence(roots)
        for numbers, chosen in _by_object(rings, roots[rings.owner]):
            polygons = _polygons(rings, chosen, self._frame)
            areas = shapely.area(polygons) / (self._frame.scale_x * self._frame.scale_y)
            for number, polygon, area in zip(numbers, polygons, areas, strict=True):
                mean = float(confidence[number])
                yield TracedShape(
                    label=int(labels[number]),
                    polygon=polygon,
                    area_px_work=round(float(area)),
                    confidence=None if math.isnan(mean) else mean,
                )

    def piece_counts(self) -> tuple[Values, Integers]:
        """Return the labels met, in their order, and how many pieces each is in."""
        roots = self._objects.roots()
        own = np.flatnonzero(roots == np.arange(len(roots)))
        labels, counts = np.unique(self._objects.labels()[own], return_counts=True)
        return labels, counts.astype(np.int64)

    def _check(self, labels: Values, box: WorkBox) -> None:
        starts_row = box.x == self._area.x
        if (box.x, box.y) != self._next or not (starts_row or box.height == self._row_height):
            raise ValueError(f"expected a tile at {self._next}, but got {box}")
        if box.is_empty or box.intersection(self._area) != box:
            raise ValueError(f"{box} is empty or reaches out of {self._area}")
        if labels.shape != (box.height, box.width) or labels.dtype != self._kind:
            raise ValueError(f"labels are {labels.dtype} {labels.shape}, not those of {box}")

    def _columns(self, box: WorkBox) -> slice:
        return slice(box.x - self._area.x + 1, box.right - self._area.x + 1)

    def _pad(self, labels: Values, box: WorkBox) -> Values:
        """Return the tile with what lies above and left of it, and zeros round the area."""
        last_column, last_row = box.right == self._area.right, box.bottom == self._area.bottom
        padded = np.zeros((box.height + 1 + last_row, box.width + 1 + last_column), self._kind)
        columns = self._columns(box)
        padded[0, : box.width + 1] = self._above.labels[columns.start - 1 : columns.stop]
        padded[1 : box.height + 1, 0] = self._left.labels
        padded[1 : box.height + 1, 1 : box.width + 1] = labels
        return padded

    def _unite(
        self, labels: Values, numbered: NDArray[np.int32], base: int, border: _Border, part: slice
    ) -> None:
        """Takes objects as one where the same label lies on both sides of a seam."""
        same = (labels == border.labels[part]) & (labels != 0)
        self._objects.unite(numbered[same].astype(np.int64) + base, border.numbers[part][same])


def _polygons(rings: Rings, chosen: list[Integers], frame: WorkFrame) -> NDArray[np.object_]:
    """Return the polygon of each object, given its rings, in level-0 pixels."""
    touches = rings.touches[np.concatenate(chosen)]
    whole = iter(zip(whole_rings(rings, np.concatenate(chosen)), touches, strict=True))
    parts: list[Corners] = []
    owner: list[int] = []
    for number, group in enumerate(chosen):
        own: list[Corners] = []
        for _ in group:
            ring, touching = next(whole)
            own.extend(part_at_touches(ring) if touching else [ring])
        parts.extend(own)
        owner.extend([number] * len(own))
    points = np.concatenate(parts) * np.array([frame.scale_x, frame.scale_y])
    lines = shapely.linearrings(
        points, indices=np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    )
    polygons: NDArray[np.object_] = shapely.polygons(lines, indices=np.array(owner))
    return polygons


def _by_object(rings: Rings, owner: Integers) -> Iterator[tuple[list[int], list[Integers]]]:
    """Objects and the indices of their rings, the outside first, some thousand at a time."""
    if not len(owner):
        return
    first = np.cumsum(rings.length) - rings.length
    place = rings.corners[first].astype(np.int64) @ np.array([1, 1 << 32])
    # A ring begins with its uppermost corner, so that of the outside is the object's first.
    earliest = np.full(int(owner.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(earliest, owner, place)
    order = np.lexsort((place, earliest[owner]))
    bounds = np.r_[0, np.flatnonzero(np.diff(owner[order])) + 1, len(order)]
    for at in range(0, len(bounds) - 1, CHUNK):
        own = bounds[at : at + CHUNK + 1]
        batch = np.split(order[own[0] : own[-1]], own[1:-1] - own[0])
        yield [int(owner[group[0]]) for group in batch], batch
