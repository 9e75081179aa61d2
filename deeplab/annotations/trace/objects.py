"""Which pixels are one object: numbered per tile, united across seams."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Labels

Integers = NDArray[np.int64]
Values = NDArray[Any]  # uint8 labels or uint32 numbers of objects


class ObjectTable:
    """The objects of all tiles so far: label, confidence, and which of them are parts of one.

    An object holds together through pixel sides. One that lies on several tiles has a number on
    each, until `roots` tells which are the same.
    """

    def __init__(self) -> None:
        self._count = 0
        self._labels: list[Values] = []
        self._sums: list[NDArray[np.float64]] = []
        self._weights: list[Integers] = []
        self._same: list[Integers] = []

    def number(
        self, labels: Values, confidence: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.int32], int]:
        """Numbers the objects of a tile.

        Args:
            labels: uint8 or uint32 (height, width); 0 is background.
            confidence: float32 on the same or a coarser grid over the tile, or None.

        Returns:
            int32 (height, width), 0 on background, and what to add for the number in this table.
        """
        base = self._count - 1
        numbered, found = _number(labels) if labels.dtype == np.uint8 else _number_wide(labels)
        count = len(found)
        sums: NDArray[np.float64] = np.zeros(count)
        weights: Integers = np.zeros(count, np.int64)
        if confidence is not None and count:
            place = np.flatnonzero(numbered)
            part = numbered.ravel()[place] - 1
            row, column = np.divmod(place, labels.shape[1])
            row *= confidence.shape[0]
            row //= labels.shape[0]
            column *= confidence.shape[1]
            column //= labels.shape[1]
            values = confidence[row, column].astype(np.float64)
            sums = np.bincount(part, values, count).astype(np.float64)
            weights = np.bincount(part, minlength=count).astype(np.int64)
        self._count += count
        self._labels.append(found)
        self._sums.append(sums)
        self._weights.append(weights)
        return numbered, base

    def unite(self, one: Integers, other: Integers) -> None:
        """Takes pairs of numbers as parts of the same object."""
        if len(one):
            self._same.append(np.unique(np.column_stack([one, other]), axis=0))

    def roots(self) -> Integers:
        """For each number the smallest one of the same object, int64 (numbers,)."""
        parent = np.arange(self._count).tolist()

        def root(number: int) -> int:
            while parent[number] != number:
                parent[number] = number = parent[parent[number]]
            return number

        for pairs in self._same:
            for one, other in pairs.tolist():
                low, high = sorted((root(one), root(other)))
                parent[high] = low
        roots = np.array(parent, np.int64)
        while (roots[roots] != roots).any():
            roots = roots[roots]
        return roots

    def labels(self) -> Values:
        """Return the label of each number, uint8 or uint32 (numbers,)."""
        return np.concatenate([np.zeros(0, np.uint8), *self._labels])

    def confidence(self, roots: Integers) -> NDArray[np.float64]:
        """Mean confidence of the object of each root, float64 (numbers,); NaN where unknown."""
        sums = np.bincount(roots, np.concatenate([np.zeros(0), *self._sums]), self._count)
        none = np.zeros(0, np.int64)
        weights = np.bincount(roots, np.concatenate([none, *self._weights]), self._count)
        mean: NDArray[np.float64] = np.full(self._count, np.nan)
        return np.divide(sums, weights, out=mean, where=weights > 0)


def _number_wide(labels: Values) -> tuple[NDArray[np.int32], Values]:
    """Do what `_number` does for many labels: runs of rows are joined, not pixels."""
    from scipy.sparse import csr_array  # noqa: PLC0415  0.2 s, and few labels do without
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  as above

    starts = np.ones(labels.shape, np.bool_)
    starts[:, 1:] = labels[:, 1:] != labels[:, :-1]
    run = np.cumsum(starts.ravel()).reshape(labels.shape) - 1
    run_values = labels[starts]
    below = (labels[1:] == labels[:-1]) & (labels[1:] != 0)
    one, other = run[:-1][below], run[1:][below]
    links = csr_array((np.ones(len(one), np.bool_), (one, other)), shape=[len(run_values)] * 2)
    _, component = connected_components(links, directed=False)
    drawn = np.flatnonzero(run_values)
    _, first, rank = np.unique(component[drawn], return_index=True, return_inverse=True)
    number_of_run = np.zeros(len(run_values), np.int32)
    number_of_run[drawn] = rank + 1
    return number_of_run[run], run_values[drawn[first]]


def _number(labels: Labels) -> tuple[NDArray[np.int32], Labels]:
    """Objects of a tile numbered from 1, and the label of each."""
    image = np.ascontiguousarray(labels)
    counts = cv2.calcHist([image], [0], None, [256], [0, 256]).ravel()
    present = [int(value) for value in np.flatnonzero(counts) if value]
    found: list[Labels] = [np.zeros(0, np.uint8)]
    numbered: NDArray[np.int32] = np.zeros(labels.shape, np.int32)
    total = 0
    for value in present:
        mask = image if len(present) == 1 else (image == value).view(np.uint8)
        count, part = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
        if total:
            np.add(part, total, out=part, where=part > 0)
            part += numbered  # objects of two labels share no pixel
        numbered = part.astype(np.int32, copy=False)
        total += count - 1
        found.append(np.full(count - 1, value, np.uint8))
    return numbered, np.concatenate(found)
