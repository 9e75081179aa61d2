"""Distances between borders as values and how often each occurs, so that slides can be added up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deeplab.evaluation.boundary import Distances

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DistanceTally:
    """Distances in ascending order, um, each with the number of border pixels it is of.

    Borders lie on a grid, so few distances differ: a slide's million border pixels have some
    thousand.
    """

    values_um: Distances
    counts: Counts

    @classmethod
    def of(cls, distances_um: Distances) -> Self:
        """Return the tally of distances as they come."""
        values, counts = np.unique(distances_um, return_counts=True)
        return cls(values, counts.astype(np.float64))

    @classmethod
    def nothing(cls) -> Self:
        """Return the tally of no border."""
        return cls(np.empty(0), np.empty(0))

    def __add__(self, other: Self) -> Self:
        """The distances of both."""
        values, place = np.unique(
            np.concatenate([self.values_um, other.values_um]), return_inverse=True
        )
        counts = np.concatenate([self.counts, other.counts])
        summed = np.bincount(place, counts, minlength=len(values))
        return type(self)(values, summed.astype(np.float64))

    @property
    def total(self) -> float:
        """Number of border pixels."""
        return float(self.counts.sum())

    def within(self, tolerance_um: float) -> float:
        """Number of border pixels at most this far away."""
        # A tolerance of two pixels takes the pixel that is two away, whatever the rounding of um.
        return float(self.counts[self.values_um <= tolerance_um * (1 + 1e-9)].sum())

    def percentile(self, percent: float) -> float:
        """Return a percentile, linearly interpolated; NaN where there is no border."""
        return percentile_of(self.values_um, self.counts, percent)

    @property
    def sum_um(self) -> float:
        """The sum of all distances."""
        kept = self.counts > 0
        return float((self.values_um[kept] * self.counts[kept]).sum())


@dataclass(frozen=True, slots=True)
class BorderTally:
    """The distances from the border of each side to that of the other; those of slides add up.

    The figures and their empty cases are those of `BorderDistances`.
    """

    from_truth: DistanceTally
    from_prediction: DistanceTally

    @classmethod
    def nothing(cls) -> Self:
        """No border on either side."""
        return cls(DistanceTally.nothing(), DistanceTally.nothing())

    def __add__(self, other: Self) -> Self:
        """The borders of both."""
        return type(self)(
            self.from_truth + other.from_truth, self.from_prediction + other.from_prediction
        )

    def row(self, tolerance_um: float) -> Counts:
        """The counts of which precision, recall and F1 are made, to be added up in tables."""
        return np.array(
            [
                self.from_truth.within(tolerance_um),
                self.from_truth.total,
                self.from_prediction.within(tolerance_um),
                self.from_prediction.total,
            ]
        )

    def hausdorff_um(self, percent: float = 95) -> float:
        """The larger of the two sides' percentiles; infinite where one side has no border."""
        if not (self.from_truth.total and self.from_prediction.total):
            return self._if_missing
        return max(self.from_truth.percentile(percent), self.from_prediction.percentile(percent))

    @property
    def mean_um(self) -> float:
        """Mean over the border pixels of both sides together."""
        if not (self.from_truth.total and self.from_prediction.total):
            return self._if_missing
        total = self.from_truth.total + self.from_prediction.total
        return (self.from_truth.sum_um + self.from_prediction.sum_um) / total

    @property
    def _if_missing(self) -> float:
        some = self.from_truth.total or self.from_prediction.total
        return float("inf") if some else float("nan")


def border_figures(row: Counts) -> Counts:
    """Precision, recall and F1 of a border, of a `BorderTally.row` or a sum of such."""
    truth_near, truth, prediction_near, prediction = row.tolist()
    precision = prediction_near / prediction if prediction else float("nan")
    recall = truth_near / truth if truth else float("nan")
    if not (truth and prediction):
        f1 = 0.0 if truth or prediction else float("nan")
    else:
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return np.array([precision, recall, f1])


def percentile_of(values: Distances, counts: Counts, percent: float) -> float:
    """NumPy's linear percentile of ascending values that occur so often; NaN of none."""
    before = np.cumsum(counts)
    if not before.size or not before[-1]:
        return float("nan")
    place = percent / 100 * (before[-1] - 1)
    low = float(values[np.searchsorted(before, math.floor(place), side="right")])
    high = float(values[np.searchsorted(before, math.ceil(place), side="right")])
    # Between a number and infinity there is nothing.
    return low if low == high or place == math.floor(place) else _between(low, high, place % 1)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
