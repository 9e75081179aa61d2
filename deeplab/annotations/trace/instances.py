"""Pixels that number objects made shapes: one shape an object, exact along the edges of pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Area
from deeplab.annotations.trace.outlines import TILE, SeamTracer
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import WorkBox, WorkFrame

Ids = NDArray[np.uint32]  # (height, width): the number of the object, 0 is background
Types = NDArray[np.uint8]  # (height, width): the number of the type, 0 where none is told

SHIFT = 8  # bits of a type beside the number of an object


def as_ids(values: NDArray[Any], what: str, path: Path) -> Ids:
    """Return numbers of objects as uint32, whatever type they have in a file.

    Raises:
        AnnotationError: one is no whole number from 0 on, or they are not of height and width.
    """
    if values.ndim != 2:
        raise AnnotationError(path, f"{what} has the shape {values.shape}, not height and width")
    if not values.size:
        return values.astype(np.uint32)
    low, high = values.min(), values.max()
    if not (low >= 0 and high < 1 << 32):  # NaN is neither
        strange = low if not low >= 0 else high
        raise AnnotationError(path, f"{what} holds {strange:g}; objects are numbered from 1 on")
    ids = values.astype(np.uint32)
    if values.dtype.kind == "f" and (ids != values).any():
        raise AnnotationError(path, f"{what} holds fractions; numbers of objects are whole")
    return ids


class NumberedShape(NamedTuple):
    """An object and its number."""

    number: int
    polygon: Area  # level-0 pixels


class InstanceTracer:
    """Traces numbered objects that come tile by tile, in reading order.

    Args:
        frame: the slide's work frame.
        area: what the tiles cover together, in work pixels.
        spill: a folder to keep outlines in instead of memory; it must outlive the tracing.
    """

    def __init__(self, frame: WorkFrame, area: WorkBox, spill: Path | None = None) -> None:
        self._tracer = SeamTracer(frame, area, spill, np.uint32)
        self._votes: dict[int, int] = defaultdict(int)  # pixels, by number and type

    def add(self, ids: Ids, box: WorkBox, types: Types | None = None) -> None:
        """Take the next tile.

        Args:
            ids: uint32 (box.height, box.width).
            box: in work pixels.
            types: uint8 (box.height, box.width), where they are known.

        Raises:
            ValueError: the tile is not the one expected next, or has another size than its box.
        """
        self._tracer.add(ids, None, box)
        if types is not None:
            voting = (ids > 0) & (types > 0)
            keys = ids[voting].astype(np.int64) << SHIFT | types[voting]
            for key, pixels in zip(*np.unique(keys, return_counts=True), strict=True):
                self._votes[int(key)] += int(pixels)

    @property
    def piece_counts(self) -> dict[int, int]:
        """In how many pieces each object is, by its number."""
        numbers, counts = self._tracer.piece_counts()
        return dict(zip(numbers.tolist(), counts.tolist(), strict=True))

    def types(self) -> dict[int, int]:
        """Return the type of most pixels of each object that has any; the lowest of equals."""
        best: dict[int, tuple[int, int]] = {}
        for key, pixels in sorted(self._votes.items()):
            number, kind = key >> SHIFT, key & 255
            if pixels > best.get(number, (0, 0))[0]:
                best[number] = pixels, kind
        return {number: kind for number, (_, kind) in best.items()}

    def finish(self) -> Iterator[NumberedShape]:
        """Yield each object once; what is in several pieces comes with its last, as one."""
        several = {number: count for number, count in self.piece_counts.items() if count > 1}
        pieces: dict[int, list[shapely.Polygon]] = defaultdict(list)
        for traced in self._tracer.finish():
            if traced.label not in several:
                yield NumberedShape(traced.label, traced.polygon)
                continue
            own = pieces[traced.label]
            own.append(traced.polygon)
            if len(own) == several[traced.label]:
                yield NumberedShape(traced.label, shapely.MultiPolygon(own))
                del pieces[traced.label]


def trace_ids(ids: Ids, types: Types | None = None) -> InstanceTracer:
    """Trace a whole array, whose pixels are level 0.

    Args:
        ids: uint32 (height, width).
        types: uint8 (height, width), where they are known.
    """
    height, width = ids.shape
    area = WorkBox(0, 0, width, height)
    tracer = InstanceTracer(WorkFrame(1.0, 1.0, width, height, 1.0), area)
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            box = WorkBox(x, y, TILE, TILE).intersection(area)
            part = box.within(area)
            tracer.add(ids[part], box, None if types is None else types[part])
    return tracer
