"""How well nuclei are found and typed: pairs of centroids by true and predicted type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deeplab.evaluation.instances import Pairs, Points, pair_centroids

Types = NDArray[np.intp]  # (objects,): 1, 2, ...
Counts = NDArray[np.float64]  # whole numbers
Shares = NDArray[np.float64]  # (types,)


@dataclass(frozen=True, slots=True)
class TypeConfusion:
    """How many pairs there are of a true and a predicted type; those of two slides add up.

    Attributes:
        counts: (types + 1, types + 1), by true type (rows) and predicted type (columns). Row 0 are
            predicted objects without a partner, column 0 true ones.
    """

    counts: Counts

    @classmethod
    def nothing(cls, type_count: int) -> Self:
        """Return the counts of a slide without objects."""
        return cls(np.zeros((type_count + 1, type_count + 1)))

    @classmethod
    def of_pairs(
        cls, pairs: Pairs, true_types: Types, predicted_types: Types, type_count: int
    ) -> Self:
        """Count pairs and what is in none of them.

        Args:
            pairs: each object in one at most.
            true_types: of all true objects.
            predicted_types: of all predicted objects.
            type_count: the highest number of a type.

        Raises:
            ValueError: a type is not from 1 to `type_count`.
        """
        for types in (true_types, predicted_types):
            if types.size and not (types.min() >= 1 and types.max() <= type_count):
                raise ValueError(f"types go from 1 to {type_count}")
        found = cls.nothing(type_count)
        true, predicted = pairs.T
        np.add.at(found.counts, (true_types[true], predicted_types[predicted]), 1)
        found.counts[:, 0] += np.bincount(np.delete(true_types, true), minlength=type_count + 1)
        alone = np.delete(predicted_types, predicted)
        found.counts[0] += np.bincount(alone, minlength=type_count + 1)
        return found

    def __add__(self, other: Self) -> Self:
        """Add the pairs of two slides."""
        return type(self)(self.counts + other.counts)

    def widened(self, type_count: int) -> Self:
        """Return the same with further types, of which there is nothing."""
        return type(self)(np.pad(self.counts, (0, type_count + 1 - len(self.counts))))

    @property
    def detection_f1(self) -> float:
        """F_d: F1 of all objects, whatever their types (Graham 2019); NaN where there is none."""
        alone = self.counts[0, 1:].sum() + self.counts[1:, 0].sum()
        return _ratio(2 * self._paired.sum(), 2 * self._paired.sum() + alone)

    @property
    def accuracy(self) -> float:
        """Share of the pairs whose types agree; NaN where there is no pair."""
        return _ratio(np.trace(self._paired), self._paired.sum())

    @property
    def f1_by_type(self) -> Shares:
        """F_c of each type, float64 (types,): found and of the right type (Graham 2019).

        2 TP / (2 TP + 2 FP + 2 FN + FP_d + FN_d), where FP and FN are pairs of which only the
        predicted or only the true one is of the type, and FP_d and FN_d have no partner. NaN where
        no object is of the type.
        """
        right = 2 * np.diag(self._paired)
        wrong = 2 * (self._paired.sum(axis=0) + self._paired.sum(axis=1)) - 2 * right
        whole = right + wrong + self.counts[0, 1:] + self.counts[1:, 0]
        nothing = np.full(len(right), np.nan)
        return np.asarray(np.divide(right, whole, out=nothing, where=whole > 0))

    @property
    def _paired(self) -> Counts:
        return self.counts[1:, 1:]


def compare_types(
    true_um: Points,
    true_types: Types,
    predicted_um: Points,
    predicted_types: Types,
    *,
    radius_um: float,
    type_count: int,
) -> TypeConfusion:
    """Pair the centroids of one slide as `pair_centroids` does, whatever their types, and count.

    Args:
        true_um: centroids of the true objects, um.
        true_types: 1 to `type_count` of each.
        predicted_um: as the true ones.
        predicted_types: as the true ones.
        radius_um: within which two are a pair.
        type_count: number of types.

    Raises:
        ValueError: a type is not from 1 to `type_count`.
    """
    pairs = pair_centroids(true_um, predicted_um, radius_um)
    return TypeConfusion.of_pairs(pairs, true_types, predicted_types, type_count)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
