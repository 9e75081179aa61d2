"""Means of what is found at pixels, in the cells of a coarse grid over the slide."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deeplab.geometry.frames import WorkBox, WorkFrame


class CellMeans:
    """Adds up values tile by tile.

    Args:
        frame: of the boxes that are added.
        cell_um: side of a cell; it is a work pixel at least.
        depth: values a pixel.

    Attributes:
        cell_work: side of a cell, work pixels.
        sums: float32 (rows, columns, depth).
        counts: int64 (rows, columns), of pixels.
    """

    def __init__(self, frame: WorkFrame, cell_um: float, depth: int) -> None:
        self.cell_work = max(1.0, cell_um / frame.work_mpp)
        rows = math.ceil(frame.height / self.cell_work)
        columns = math.ceil(frame.width / self.cell_work)
        self.sums = np.zeros((rows, columns, depth), np.float32)
        self.counts = np.zeros((rows, columns), np.int64)

    def add(self, values: NDArray[np.float32], stride: int, box: WorkBox) -> None:
        """Add the values (rows, columns, depth) at every `stride`-th pixel of `box`."""
        rows, columns = values.shape[:2]
        row = ((box.y + stride * np.arange(rows)) / self.cell_work).astype(np.intp)
        column = ((box.x + stride * np.arange(columns)) / self.cell_work).astype(np.intp)
        place = (row[:, None], column[None])
        np.add.at(self.sums, place, values)
        np.add.at(self.counts, place, 1)
