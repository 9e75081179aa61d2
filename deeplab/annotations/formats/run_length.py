"""COCO's run lengths: background and object by turns, down the columns of a canvas.

A compressed text holds each count from the fourth on as the difference to the one two before, in
characters of five bits, the low ones first, with 32 for "more follows" and 48 added
(https://github.com/cocodataset/cocoapi, maskApi.c).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import affine_transform

from deeplab.annotations.trace.outlines import SeamTracer
from deeplab.geometry.frames import WorkBox, WorkFrame

Integers = NDArray[np.int64]

MAX_CHARACTERS = 8  # of one count: 40 bits, more than a canvas has pixels
MAX_PIXELS = 1 << 28  # of the columns and rows that an object spans
BAND = 1 << 22  # pixels traced at a time
SWAP = (0, 1, 1, 0, 0, 0)  # x becomes y


def counts_of_text(text: str) -> list[int]:
    """Return the counts of a compressed text.

    Raises:
        ValueError: it is no such text.
    """
    counts: list[int] = []
    value = length = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or length == MAX_CHARACTERS:
            raise ValueError("its text is not one of run lengths")
        value |= (bits & 31) << 5 * length
        length += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << 5 * length
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = length = 0
    if length:
        raise ValueError("its text of run lengths is cut short")
    return counts


def polygons_of_counts(counts: Sequence[int], width: int, height: int) -> list[shapely.Polygon]:
    """Return the outlines of the pixels, which hang together by sides; no canvas is made.

    Args:
        counts: of pixels, background first.
        width: of the canvas.
        height: of the canvas.

    Raises:
        ValueError: the counts are not those of such a canvas, or span too much of it.
    """
    if min(counts, default=0) < 0 or sum(counts) != width * height:
        raise ValueError(f"its run lengths do not add up to {width} x {height} pixels")
    ends = np.cumsum(np.array([0, *counts], np.int64))
    start, end = ends[1:-1:2], ends[2::2]
    kept = start < end
    start, end = start[kept], end[kept]
    if not len(start):
        return []
    first, last = int(start[0]) // height, (int(end[-1]) - 1) // height
    top, bottom = _rows(start, end, height)
    # The runs go down columns, so what is traced is the picture with x and y exchanged.
    area = WorkBox(top, first, bottom - top, last + 1 - first)
    if area.width * area.height > MAX_PIXELS:
        raise ValueError(f"its run lengths span {area.height} x {area.width} pixels")
    tracer = SeamTracer(WorkFrame(1.0, 1.0, height, width, 1.0), area)
    columns = max(1, BAND // area.width)
    for column in range(first, last + 1, columns):
        box = WorkBox(top, column, area.width, min(columns, last + 1 - column))
        tracer.add(_filled(start, end, box, height), None, box)
    return [affine_transform(traced.polygon, SWAP) for traced in tracer.finish()]


def _rows(start: Integers, end: Integers, height: int) -> tuple[int, int]:
    """Return the first row of all runs and the one after the last."""
    if (start // height != (end - 1) // height).any():
        return 0, height
    return int((start % height).min()), int(((end - 1) % height).max()) + 1


def _filled(start: Integers, end: Integers, box: WorkBox, height: int) -> NDArray[np.uint8]:
    """Return the pixels of runs, uint8 (columns, rows) of a box of exchanged x and y."""
    low, high = box.y * height, box.bottom * height
    there = (end > low) & (start < high)
    marks = np.zeros(box.height * box.width + 1, np.int8)
    for place, step in ((np.maximum(start[there], low), 1), (np.minimum(end[there], high), -1)):
        # A run that ends with its column ends where the next column of the box begins.
        column, row = np.divmod(place - low, height)
        np.add.at(marks, column * box.width + np.clip(row - box.x, 0, box.width), step)
    return np.cumsum(marks[:-1], dtype=np.int8).reshape(box.height, box.width).astype(np.uint8)
