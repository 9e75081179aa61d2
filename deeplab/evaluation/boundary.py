"""How far the outlines of two masks are from one another, in um."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deeplab.geometry.frames import Mpp

Mask = NDArray[np.bool_]  # (height, width)
Points = NDArray[np.float64]  # (points, 2): x and y, um
Distances = NDArray[np.float64]  # (border pixels,), um

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@dataclass(frozen=True, slots=True)
class BorderDistances:
    """From each border pixel of either mask to the nearest border pixel of the other.

    A border pixel is one of the mask with a neighbour, of four, that is not; beyond the map's edge
    nothing is of the mask. Two empty masks have no figure: all are NaN. Where one mask is empty, F1
    is 0 and distances are infinite.
    """

    from_truth_um: Distances
    from_prediction_um: Distances

    @classmethod
    def between(cls, truth: Mask, prediction: Mask, mpp: Mpp) -> Self:
        """Return the distances between two masks of one shape, whose pixels are of `mpp`.

        Raises:
            ValueError: the shapes differ.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f"masks of different shapes: {truth.shape} and {prediction.shape}")
        return cls.of_points(border_um(truth, mpp), border_um(prediction, mpp))

    @classmethod
    def of_points(cls, true_um: Points, predicted_um: Points) -> Self:
        """Return the distances between the border pixels of two masks, known by their middles."""
        return cls(_to_nearest(true_um, predicted_um), _to_nearest(predicted_um, true_um))

    def precision(self, tolerance_um: float) -> float:
        """Share of the predicted border that is within the tolerance; NaN where there is none."""
        return _share_within(self.from_prediction_um, tolerance_um)

    def recall(self, tolerance_um: float) -> float:
        """Share of the true border that is within the tolerance; NaN where there is none."""
        return _share_within(self.from_truth_um, tolerance_um)

    def f1(self, tolerance_um: float) -> float:
        """Harmonic mean of precision and recall of the border (Csurka 2013)."""
        if not self._both_there:
            return self._if_missing(0.0)
        precision, recall = self.precision(tolerance_um), self.recall(tolerance_um)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def hausdorff_um(self, percent: float = 95) -> float:
        """Hausdorff distance of the borders: the larger of the two sides' percentiles.

        100 percent is Hausdorff's own distance.
        """
        if not self._both_there:
            return self._if_missing(float("inf"))
        sides = (self.from_truth_um, self.from_prediction_um)
        return max(float(np.percentile(side, percent)) for side in sides)

    @property
    def mean_um(self) -> float:
        """Mean distance over the border pixels of both masks together."""
        if not self._both_there:
            return self._if_missing(float("inf"))
        return float(np.concatenate([self.from_truth_um, self.from_prediction_um]).mean())

    @property
    def _both_there(self) -> bool:
        return bool(self.from_truth_um.size and self.from_prediction_um.size)

    def _if_missing(self, one_is: float) -> float:
        return one_is if self.from_truth_um.size or self.from_prediction_um.size else float("nan")


def border_um(mask: Mask, mpp: Mpp) -> Points:
    """Return the middles of a mask's border pixels."""
    y, x = np.nonzero(border(mask))
    return np.column_stack([(x + 0.5) * mpp.x, (y + 0.5) * mpp.y])


def border(mask: Mask) -> Mask:
    """Return the border pixels of a mask; beyond the map's edge nothing is of it."""
    if not mask.any():
        return mask
    filled = np.ascontiguousarray(mask).view(np.uint8)
    inside = cv2.erode(filled, CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=[0])
    return np.asarray(filled > inside)


def _to_nearest(points_um: Points, others_um: Points) -> Distances:
    if not len(others_um):
        return np.full(len(points_um), np.inf)
    # A tree asks for memory by the border's length, a distance map by the slide's area.
    distances_um, _ = cKDTree(others_um).query(points_um)
    return np.asarray(distances_um, np.float64)


def _share_within(distances_um: Distances, tolerance_um: float) -> float:
    # A tolerance of two pixels takes the pixel that is two away, whatever the rounding of um.
    within = distances_um <= tolerance_um * (1 + 1e-9)
    return float(within.mean()) if within.size else float("nan")
