"""How well patches are classified: histograms of scores that add up, and the figures made of them.

Of each class the scores of the patches that have it and of those that have not are counted in
cells that are equal in log odds, 0.02 each from 0.00005 to 0.99995; so areas under curves and
calibration come of counts, to about a thousandth, and any threshold can be chosen afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

CELLS: Final = 1000
REACH: Final = 10.0  # log odds of the outermost cells
HALF: Final = CELLS // 2  # the first cell of scores of 0.5 and more
RELIABILITY_BINS: Final = 10
# Scores in the middle of the cells.
CENTRES: Final = 1 / (1 + np.exp(-(np.arange(CELLS) + 0.5 - HALF) * (2 * REACH / CELLS)))
Counts = NDArray[np.int64]
Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PatchTally:
    """Scores of patches by class and truth; see `Tally`.

    Attributes:
        counts: int64 (classes, 2 CELLS + classes): of each class the patches without it by score,
            those with it by score, and, where classes exclude each other, how many of this class
            were taken for each.
    """

    counts: Counts

    kind: ClassVar[str] = "patch"
    score_name: ClassVar[str] = "macro F1"
    class_score_name: ClassVar[str] = "F1"

    @classmethod
    def empty(cls, class_count: int) -> Self:
        """Return the counts of no patch."""
        return cls(np.zeros((class_count, 2 * CELLS + class_count), np.int64))

    @classmethod
    def of(cls, counts: ArrayLike) -> Self:
        """Return the tally of counts that are known already.

        Raises:
            ValueError: they are not such counts.
        """
        taken = np.array(counts, np.int64)
        if taken.ndim != 2 or taken.shape[1] != 2 * CELLS + taken.shape[0] or (taken < 0).any():
            raise ValueError(f"counts of patches are {taken.shape}, not rows of classes")
        return cls(taken)

    @classmethod
    def of_scores(cls, scores: ArrayLike, truth: ArrayLike, *, exclusive: bool) -> Self:
        """Return the tally of patches.

        Args:
            scores: float (n, classes), probability of each class.
            truth: (n, classes), not 0 where a patch has the class.
            exclusive: whether a patch has one class, and is taken for that of the highest score.
        """
        found, has = np.atleast_2d(np.asarray(scores, np.float64)), np.atleast_2d(truth) != 0
        count = found.shape[1]
        counts = cls.empty(count).counts
        odds = np.clip(found, 1e-12, 1 - 1e-12)
        cell = (np.log(odds / (1 - odds)) + REACH) * (CELLS / (2 * REACH))
        cell = np.clip(np.floor(cell + 1e-9), 0, CELLS - 1).astype(np.intp)
        column = cell + CELLS * has
        np.add.at(counts, (np.broadcast_to(np.arange(count), column.shape), column), 1)
        if exclusive:
            known = has.any(axis=1)
            taken_for = found[known].argmax(axis=1)
            np.add.at(counts, (has[known].argmax(axis=1), 2 * CELLS + taken_for), 1)
        return cls(counts)

    def __add__(self, other: Self) -> Self:
        """Add the patches of another tally."""
        return type(self)(self.counts + other.counts)

    @property
    def exclusive(self) -> bool:
        """Whether classes exclude each other."""
        return bool(self._taken.any())

    @property
    def score(self) -> float:
        """Mean F1 of the classes that occur; NaN where none does."""
        return _mean(self.class_scores)

    @property
    def class_scores(self) -> Figures:
        """F1 of each class, (classes,); NaN where it does not occur.

        Where a patch may have several classes, of the thresholds that are best here: a figure of a
        model on other patches is made with those that were chosen before.
        """
        return self.f1(self.thresholds)

    @property
    def usual_figures(self) -> Mapping[str, Figures]:
        """AUROC of each class, (classes,)."""
        return {"AUROC": self.auroc}

    @property
    def class_amounts(self) -> Counts:
        """Patches that truly have each class, (classes,)."""
        return np.asarray(self._with.sum(axis=1))

    @property
    def patches(self) -> int:
        """Patches that were judged."""
        return int((self._with + self._without)[0].sum()) if len(self.counts) else 0

    @property
    def thresholds(self) -> Figures:
        """Score from which each class has its best F1, (classes,); 0.5 where it does not occur."""
        right, wrong = (_from_above(each) for each in (self._with, self._without))
        f1 = _share(2 * right, right + wrong + self.class_amounts[:, None])
        best = np.nan_to_num(f1).argmax(axis=1)
        edges = 1 / (1 + np.exp(-(np.arange(CELLS) - HALF) * (2 * REACH / CELLS)))
        return np.where(self.class_amounts > 0, edges[best], 0.5)

    def decided(self, thresholds: Figures | None) -> tuple[Counts, Counts, Counts]:
        """Return right, wrong and missed patches of each class, (classes,) each.

        Args:
            thresholds: from which score a patch has a class, to the nearest cell; None: 0.5. Where
                classes exclude each other a patch has the one of the highest score.
        """
        if self.exclusive:
            right = np.diagonal(self._taken).copy()
            return right, self._taken.sum(axis=0) - right, self._taken.sum(axis=1) - right
        limit = np.full(len(self.counts), 0.5) if thresholds is None else thresholds
        limit = np.clip(limit, 1e-12, 1 - 1e-12)
        first = np.rint((np.log(limit / (1 - limit)) + REACH) * (CELLS / (2 * REACH)))
        is_taken = np.arange(CELLS) >= np.clip(first, 0, CELLS)[:, None]
        right = (self._with * is_taken).sum(axis=1)
        wrong = (self._without * is_taken).sum(axis=1)
        return right, wrong, self.class_amounts - right

    def f1(self, thresholds: Figures | None = None) -> Figures:
        """Return F1 of each class, (classes,); NaN where it does not occur."""
        right, wrong, missed = self.decided(thresholds)
        return np.where(right + missed > 0, _share(2 * right, 2 * right + wrong + missed), np.nan)

    def precision(self, thresholds: Figures | None = None) -> Figures:
        """Return which share of the patches taken for a class have it, (classes,)."""
        right, wrong, _ = self.decided(thresholds)
        return _share(right, right + wrong)

    def recall(self, thresholds: Figures | None = None) -> Figures:
        """Return which share of the patches with a class are taken for it, (classes,)."""
        right, _, missed = self.decided(thresholds)
        return _share(right, right + missed)

    def micro(self, thresholds: Figures | None = None) -> tuple[float, float, float]:
        """Return precision, recall and F1 of all decisions on all classes together."""
        right, wrong, missed = (int(each.sum()) for each in self.decided(thresholds))
        shares = (
            (right, right + wrong),
            (right, right + missed),
            (2 * right, 2 * right + wrong + missed),
        )
        precision, recall, f1 = (a / b if b else math.nan for a, b in shares)
        return precision, recall, f1

    @property
    def auroc(self) -> Figures:
        """Area under the ROC curve of each class, (classes,); NaN without patches of both kinds."""
        below = np.cumsum(self._without, axis=1) - self._without
        wins = (self._with * (below + 0.5 * self._without)).sum(axis=1)
        return _share(wins, self.class_amounts * self._without.sum(axis=1))

    @property
    def average_precision(self) -> Figures:
        """Precision at each patch with the class, averaged, (classes,); NaN without such."""
        right, wrong = (_from_above(each) for each in (self._with, self._without))
        precision = np.nan_to_num(_share(right, right + wrong))
        return _share((precision * self._with).sum(axis=1), self.class_amounts)

    @property
    def reliability(self) -> tuple[Figures, Figures, Counts]:
        """Mean score, share that has the class, and number of scores, by tenths of the score.

        All classes together, (10,) each; NaN where there is no score.
        """
        place = np.minimum((CENTRES * RELIABILITY_BINS).astype(np.intp), RELIABILITY_BINS - 1)
        have, all_of = self._with.sum(axis=0), (self._with + self._without).sum(axis=0)
        total = np.bincount(place, all_of, RELIABILITY_BINS)
        scores = _share(np.bincount(place, all_of * CENTRES, RELIABILITY_BINS), total)
        shares = _share(np.bincount(place, have, RELIABILITY_BINS), total)
        return scores, shares, total.astype(np.int64)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error over all classes (Naeini 2015); NaN without patches."""
        scores, shares, total = self.reliability
        if not total.any():
            return math.nan
        return float(np.nansum(np.abs(scores - shares) * total) / total.sum())

    @property
    def confused(self) -> Counts:
        """Patches of a true class (row) taken for another (column), 0 for none, at a score of 0.5.

        Where a patch may have several classes each is counted by itself: found, missed, or seen
        where it is not.
        """
        count = len(self.counts)
        table = np.zeros((count + 1, count + 1), np.int64)
        if self.exclusive:
            table[1:, 1:] = self._taken
        else:
            right, wrong, missed = self.decided(None)
            labels = np.arange(1, count + 1)
            table[labels, labels], table[0, 1:], table[1:, 0] = right, wrong, missed
        return table

    @property
    def error_share(self) -> float:
        """Share of the decisions that are wrong at a score of 0.5; NaN without patches."""
        right, wrong, missed = (int(each.sum()) for each in self.decided(None))
        if self.exclusive:
            return missed / (right + missed)
        decisions = self.patches * len(self.counts)
        return (wrong + missed) / decisions if decisions else math.nan

    @property
    def commonest_error(self) -> tuple[int, int] | None:
        """True and predicted label of most errors, 0 for none; None where there is none."""
        wrong = self.confused
        np.fill_diagonal(wrong, 0)
        if not wrong.any():
            return None
        truth, prediction = np.unravel_index(int(wrong.argmax()), wrong.shape)
        return int(truth), int(prediction)

    def figures(self, names: Sequence[str]) -> Mapping[str, float]:
        """Return the figures of a model's card by name; `names` are those of the classes.

        Where a patch may have several classes, the thresholds are among them.
        """
        limits = self.thresholds
        precision, recall, f1 = self.micro(limits)
        found = {
            "f1 macro": self.score,
            "f1 micro": f1,
            "precision micro": precision,
            "recall micro": recall,
            "precision macro": _mean(self.precision(limits)),
            "recall macro": _mean(self.recall(limits)),
            "auroc": _mean(self.auroc),
            "average precision": _mean(self.average_precision),
            "calibration error": self.calibration_error,
        }
        columns = {"f1": self.class_scores, "auroc": self.auroc}
        if not self.exclusive:
            found["f1 macro at 0.5"] = _mean(self.f1())
            columns[THRESHOLD] = limits
        for word, values in columns.items():
            found |= {f"{word} {n}": float(v) for n, v in zip(names, values, strict=True)}
        return found

    @property
    def _without(self) -> Counts:
        return self.counts[:, :CELLS]

    @property
    def _with(self) -> Counts:
        return self.counts[:, CELLS : 2 * CELLS]

    @property
    def _taken(self) -> Counts:
        return self.counts[:, 2 * CELLS :]


THRESHOLD: Final = "threshold"  # before the name of a class, among the figures of a card


def thresholds_of(figures: Mapping[str, float], names: Sequence[str]) -> list[float | None]:
    """Return the thresholds that a card keeps, one a class; None where it keeps none."""
    return [figures.get(f"{THRESHOLD} {name}") for name in names]


def _from_above(counts: Counts) -> Counts:
    """Return how many there are from each cell on upwards."""
    return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]


def _share(part: ArrayLike, whole: ArrayLike) -> Figures:
    """Return quotients, NaN where there is nothing to divide by."""
    over, under = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    share = np.full(over.shape, np.nan)
    np.divide(over, under, out=share, where=under > 0)
    return share


def _mean(values: Figures) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
