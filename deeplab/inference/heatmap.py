"""Mean probability of each class in the cells of a coarse grid over the slide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.heatmap import Heatmap
from deeplab.config.classes import ClassList
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.inference.cell_means import CellMeans

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
        self._means = CellMeans(frame, cell_um, classes.label_count)

    def add(self, probabilities: NDArray[np.float32], stride: int, box: WorkBox) -> None:
        """Add the probabilities (rows, columns, labels) at every `stride`-th pixel of `box`."""
        self._means.add(probabilities, stride, box)

    def heatmaps(self) -> list[Heatmap]:
        """Return one heatmap a class, its points in the middle of the cells, level-0 pixels."""
        mean = self._means.sums / np.maximum(self._means.counts, 1)[..., None]
        cell_work = self._means.cell_work
        radius = cell_work * (self._frame.scale_x + self._frame.scale_y) / 2
        found = []
        for label, entry in enumerate(self._classes, start=1):
            row, column = np.nonzero(mean[..., label] >= LEAST)
            points = np.stack(
                [
                    (column + 0.5) * cell_work * self._frame.scale_x,
                    (row + 0.5) * cell_work * self._frame.scale_y,
                    mean[row, column, label],
                ],
                axis=1,
            )
            found.append(Heatmap(entry.name, entry.colour, points, radius))
        return found
