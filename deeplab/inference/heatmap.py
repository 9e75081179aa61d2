"""Mean probability of each class in the cells of a coarse grid over the slide."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.heatmap import Heatmap
from deeplab.config.classes import ClassList
from deeplab.geometry.frames import WorkBox, WorkFrame

LEAST = 0.05  # a cell below this mean probability is left out


class HeatmapGrid:
    """Collects probabilities tile by tile.

    Args:
        classes: one heatmap is made for each.
        frame: of the boxes that are added.
        cell_um: side of a cell.
    """

    def __init__(self, classes: ClassList, frame: WorkFrame, cell_um: float) -> None:
        self._classes, self._frame = classes, frame
        self._cell_work = max(1.0, cell_um / frame.work_mpp)
        rows = math.ceil(frame.height / self._cell_work)
        columns = math.ceil(frame.width / self._cell_work)
        self._sums = np.zeros((rows, columns, classes.label_count), np.float32)
        self._counts = np.zeros((rows, columns), np.int64)

    def add(self, probabilities: NDArray[np.float32], stride: int, box: WorkBox) -> None:
        """Add the probabilities (rows, columns, labels) at every `stride`-th pixel of `box`."""
        rows, columns = probabilities.shape[:2]
        row = ((box.y + stride * np.arange(rows)) / self._cell_work).astype(np.intp)
        column = ((box.x + stride * np.arange(columns)) / self._cell_work).astype(np.intp)
        place = (row[:, None], column[None])
        np.add.at(self._sums, place, probabilities)
        np.add.at(self._counts, place, 1)

    def heatmaps(self) -> list[Heatmap]:
        """Return one heatmap a class, its points in the middle of the cells, level-0 pixels."""
        mean = self._sums / np.maximum(self._counts, 1)[..., None]
        radius = self._cell_work * (self._frame.scale_x + self._frame.scale_y) / 2
        found = []
        for label, entry in enumerate(self._classes, start=1):
            row, column = np.nonzero(mean[..., label] >= LEAST)
            points = np.stack(
                [
                    (column + 0.5) * self._cell_work * self._frame.scale_x,
                    (row + 0.5) * self._cell_work * self._frame.scale_y,
                    mean[row, column, label],
                ],
                axis=1,
            )
            found.append(Heatmap(entry.name, entry.colour, points, radius))
        return found
