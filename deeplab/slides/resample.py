"""Pixels of one grid from pixels of another, anchored so that no window moves them.

The weight of a source pixel in a work pixel follows from the two pixels' own numbers and the ratio
of their sizes, never from the window that is read, and sums run in one order: a work pixel has the
same value to the bit whichever box it is read through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Pixels = NDArray[np.uint8]  # (height, width, channels)
FAST_BANDS = (1, 2, 3, 4)  # of pixels that OpenCV turns, faster than NumPy


@dataclass(frozen=True, slots=True)
class Taps:
    """Which source pixels make each of a run of work pixels along one axis, and how much of each.

    `index` counts source pixels of the whole axis, `weight` sums to 1 along axis 1; both are
    (count, taps).
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32]

    @property
    def first(self) -> int:
        """First source pixel that is needed."""
        return int(self.index.min())

    @property
    def end(self) -> int:
        """First source pixel after those that are needed."""
        return int(self.index.max()) + 1

    @property
    def is_copy(self) -> bool:
        """Whether each work pixel is one source pixel."""
        return bool(self.index.shape[1] == 1)


def taps(start: int, count: int, *, ratio: float, size: int) -> Taps:
    """The taps of work pixels `start` to `start + count` over an axis of `size` source pixels.

    `ratio` is source pixels per work pixel. From 1 upwards a work pixel is the mean of what it
    covers, each source pixel counting by the length that is covered; below 1 it lies linearly
    between its two neighbours' centres. Past the end of the axis its last pixel goes on.
    """
    work = np.arange(start, start + count, dtype=np.float64)[:, None]
    if ratio == 1:
        index, weight = work, np.ones_like(work)
    elif ratio > 1:
        low = work * ratio
        index = np.floor(low) + np.arange(math.ceil(ratio) + 1)
        covered = np.minimum(low + ratio, index + 1) - np.maximum(low, index)
        weight = np.maximum(covered, 0) / ratio
    else:
        centre = (work + 0.5) * ratio - 0.5
        index = np.floor(centre) + np.arange(2)
        weight = 1 - np.abs(centre - index)
    return Taps(np.clip(index, 0, size - 1).astype(np.int64), weight.astype(np.float32))


def resample(source: Pixels, columns: Taps, rows: Taps) -> Pixels:
    """Work pixels out of `source`, whose first pixel is (columns.first, rows.first)."""
    if columns.is_copy and rows.is_copy:
        return _copied(source, columns, rows)
    height, width, bands = source.shape
    count_x, count_y = len(columns.index), len(rows.index)
    # The sum runs over whole rows of memory, so each axis takes its turn at being the rows.
    turned = _transposed(source).reshape(width, height * bands).astype(np.float32)
    narrow = _matrix(columns, width) @ turned  # (count_x, height * bands)
    upright = _transposed(narrow.reshape(count_x, height, bands)).reshape(height, count_x * bands)
    small: NDArray[np.float32] = _matrix(rows, height) @ upright  # (count_y, count_x * bands)
    small += np.float32(0.5)
    return small.astype(np.uint8).reshape(count_y, count_x, bands)


def _transposed(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels (height, width, bands) as (width, height, bands)."""
    if pixels.shape[2] in FAST_BANDS:
        return np.asarray(cv2.transpose(pixels)).reshape(pixels.shape[1], pixels.shape[0], -1)
    return np.ascontiguousarray(pixels.swapaxes(0, 1))


def _matrix(axis: Taps, size: int) -> sparse.csr_matrix:
    count, per_row = axis.index.shape
    starts = np.arange(0, count * per_row + 1, per_row)
    return sparse.csr_matrix(
        (axis.weight.ravel(), axis.index.ravel() - axis.first, starts), shape=(count, size)
    )


def _copied(source: Pixels, columns: Taps, rows: Taps) -> Pixels:
    if source.shape[:2] == (len(rows.index), len(columns.index)):
        return source
    return source[rows.index[:, 0] - rows.first][:, columns.index[:, 0] - columns.first]
