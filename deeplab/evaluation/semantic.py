"""How well two label maps agree, class by class, from one confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

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

    kind: ClassVar[str] = "labels"
    score_name: ClassVar[str] = "mean IoU"
    class_score_name: ClassVar[str] = "Dice"

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
    def empty(cls, class_count: int) -> Self:
        """Return the confusion of no pixel; `class_count` is without the background."""
        return cls(class_count + 1)

    @classmethod
    def of(cls, counts: ArrayLike) -> Self:
        """Return the confusion of counts (true label, predicted label) that are known already.

        Raises:
            ValueError: they are not a square of counts.
        """
        taken = np.array(counts, np.int64)
        if taken.ndim != 2 or taken.shape[0] != taken.shape[1] or (taken < 0).any():
            raise ValueError(f"counts are {taken.shape}, not a square of numbers from 0 on")
        confusion = cls(len(taken))
        confusion.counts += taken
        return confusion

    def __add__(self, other: Self) -> Self:
        """The pixels of both."""
        return self.of(self.counts + other.counts)

    @property
    def score(self) -> float:
        """By which models are compared: `mean_iou`."""
        return self.mean_iou

    @property
    def confused(self) -> Counts:
        """The counts: pixels by true and predicted label."""
        return self.counts

    @property
    def class_scores(self) -> NDArray[np.float64]:
        """Dice of each class, float64 (classes,)."""
        return self.dice[1:]

    @property
    def usual_figures(self) -> Mapping[str, NDArray[np.float64]]:
        """IoU of each class, (classes,)."""
        return {"IoU": self.iou[1:]}

    @property
    def class_amounts(self) -> Counts:
        """Pixels that are of each class, (classes,)."""
        return self.true_pixels[1:]

    @property
    def error_share(self) -> float:
        """Share of the pixels whose label is wrong; NaN where there is none."""
        return 1 - self.accuracy

    @property
    def commonest_error(self) -> tuple[int, int] | None:
        """True and predicted label of most of the wrong pixels; None where none is wrong."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        if not wrong.any():
            return None
        truth, prediction = np.unravel_index(int(wrong.argmax()), wrong.shape)
        return int(truth), int(prediction)

    def figures(self, names: Sequence[str]) -> Mapping[str, float]:
        """Return the figures of a model's card by name; `names` are those of the classes."""
        found = {"mean_iou": self.mean_iou}
        for label, name in enumerate(names, start=1):
            found[f"dice {name}"] = float(self.dice[label])
            found[f"iou {name}"] = float(self.iou[label])
        return found

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
    def frequency_weighted_iou(self) -> float:
        """Mean IoU with each label's share of the true pixels as its weight; NaN without pixels."""
        found = self.true_pixels > 0
        shares = self.true_pixels[found] / max(self.pixels, 1)
        return float((shares * self.iou[found]).sum()) if self.pixels else float("nan")

    @property
    def mcc(self) -> NDArray[np.float64]:
        """Matthews' correlation of every label against all others, the background first.

        NaN where all pixels agree that everything, or nothing, is of the label; 0 where truth or
        prediction does not vary and they differ (Matthews 1975).
        """
        counts, total = self.counts.tolist(), self.pixels
        sides = zip(self.true_pixels.tolist(), self._predicted.tolist(), strict=True)
        return np.array(
            [
                _correlation(
                    counts[label][label] * total - true * predicted,
                    true * (total - true),
                    predicted * (total - predicted),
                    true + predicted - 2 * counts[label][label],
                )
                for label, (true, predicted) in enumerate(sides)
            ]
        )

    @property
    def multiclass_mcc(self) -> float:
        """Matthews' correlation over all labels at once, R_K of Gorodkin 2004; NaN as in `mcc`."""
        true, predicted = self.true_pixels.tolist(), self._predicted.tolist()
        both, total = int(self._both.sum()), self.pixels
        return _correlation(
            both * total - sum(t * p for t, p in zip(true, predicted, strict=True)),
            total**2 - sum(t**2 for t in true),
            total**2 - sum(p**2 for p in predicted),
            total - both,
        )

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


def _correlation(covariance: int, true_variance: int, predicted_variance: int, wrong: int) -> float:
    # Python's whole numbers neither overflow nor round: 1e12 pixels make products of 1e48.
    if true_variance and predicted_variance:
        squared = covariance**2 / (true_variance * predicted_variance)
        return math.copysign(math.sqrt(squared), covariance)
    return 0.0 if wrong else float("nan")
