"""How well two label maps agree, class by class, from one confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]  # (true label, predicted label)


@dataclass(slots=True)
class Confusion:
    """Pixels by true and predicted label, summed over as many maps as are added.

    A class that is in neither the truth nor the prediction has no Dice and no IoU: both are NaN,
    and means pass over it.
    """

    label_count: int
    counts: Counts = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.label_count, self.label_count), np.int64)

    def add(self, truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> None:
        """Count the pixels of two maps of one shape; true labels outside the range are ignored.

        Raises:
            ValueError: the shapes differ or a predicted label is out of range.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f"maps of different shapes: {truth.shape} and {prediction.shape}")
        counted = truth < self.label_count
        flat = truth[counted].astype(np.intp) * self.label_count + prediction[counted]
        found = np.bincount(flat, minlength=self.label_count**2)
        if prediction[counted].size and prediction[counted].max() >= self.label_count:
            raise ValueError(f"predicted label above {self.label_count - 1}")
        self.counts += found.reshape(self.label_count, self.label_count)

    @classmethod
    def of(cls, counts: ArrayLike) -> Self:
        """The confusion of counts (true label, predicted label) that are known already.

        Raises:
            ValueError: they are not a square of counts.
        """
        taken = np.array(counts, np.int64)
        if taken.ndim != 2 or taken.shape[0] != taken.shape[1] or (taken < 0).any():
            raise ValueError(f"counts are {taken.shape}, not a square of numbers from 0 on")
        confusion = cls(len(taken))
        confusion.counts += taken
        return confusion

    def __add__(self, other: Confusion) -> Confusion:
        """The pixels of both."""
        return Confusion.of(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        """Pixels that were judged."""
        return int(self.counts.sum())

    @property
    def true_pixels(self) -> Counts:
        """Pixels that are of each label."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def accuracy(self) -> float:
        """Share of the pixels whose label is right; NaN where there is none."""
        return float(self._both.sum() / self.pixels) if self.pixels else float("nan")

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the pixels predicted to be a label, the share that is; NaN where none is predicted."""
        return _ratio(self._both, self._predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of the pixels that are a label, the share that is found; NaN where there is none."""
        return _ratio(self._both, self.true_pixels)

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice = 2 |A and B| / (|A| + |B|) of every label, the background first."""
        return _ratio(2 * self._both, self.true_pixels + self._predicted)

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of every label, the background first."""
        return _ratio(self._both, self.true_pixels + self._predicted - self._both)

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the labels that occur, the background included; NaN where none does."""
        known = self.iou[~np.isnan(self.iou)]
        return float(known.mean()) if known.size else float("nan")

    @property
    def _both(self) -> Counts:
        return np.diagonal(self.counts)

    @property
    def _predicted(self) -> Counts:
        return np.asarray(self.counts.sum(axis=0))


def _ratio(part: Counts, whole: Counts) -> NDArray[np.float64]:
    share = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
