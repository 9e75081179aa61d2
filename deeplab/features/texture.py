"""Haralick's texture of the pixels of an object, and of no pixel beside it."""

from __future__ import annotations

import numpy as np
from histomicstk.features import graycomatrixext
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVELS = 32  # of grey, as in HistomicsTK
_TINY = 1e-5  # HistomicsTK's, under each logarithm
FEATURES = (
    "asm",
    "contrast",
    "correlation",
    "sum_of_squares",
    "idm",
    "sum_average",
    "sum_variance",
    "sum_entropy",
    "entropy",
    "difference_variance",
    "difference_entropy",
    "imc1",
    "imc2",
)
COLUMNS = tuple(f"haralick_{name}_{of}" for name in FEATURES for of in ("mean", "range"))


def measure_texture(grey: NDArray[np.uint8], mask: NDArray[np.bool_]) -> dict[str, float]:
    """Return every one of `COLUMNS`: mean and range over the four directions to the next pixel.

    As HistomicsTK's `compute_haralick_features`, but only pairs of pixels that both lie in the
    object count; that one takes the whole bounding box. NaN where a direction has no pair.
    Source: Haralick, Shanmugam and Dinstein 1973, IEEE Trans SMC 3:610.
    """
    # A rim that is not of the object, so that no neighbour is out of the image.
    grey, mask = np.pad(grey, 1), np.pad(mask, 1)
    pairs = graycomatrixext(
        grey, mask, num_levels=LEVELS, symmetric=True, normed=True, exclude_boundary=True
    )
    if not pairs.any(axis=(0, 1)).all():
        return dict.fromkeys(COLUMNS, float("nan"))
    each = np.array([_features(pairs[..., place]) for place in range(pairs.shape[2])])
    values = np.column_stack([each.mean(axis=0), np.ptp(each, axis=0)]).ravel()
    return dict(zip(COLUMNS, values.tolist(), strict=True))


def _features(pairs: Floats) -> Floats:
    """`FEATURES` of the shares of pairs of levels, (LEVELS, LEVELS), symmetric."""
    level = np.arange(LEVELS)
    first, second = np.meshgrid(level, level, indexing="ij")
    single = pairs.sum(axis=0)
    summed = _by(first + second, pairs)
    apart = _by(np.abs(first - second), pairs)
    mean = single @ level
    variance = single @ level**2 - mean**2
    sums = np.arange(len(summed))
    sum_mean = summed @ sums
    correlation = ((pairs * first * second).sum() - mean**2) / variance if variance else 0.0
    found = (
        (pairs**2).sum(),
        apart @ level**2,
        correlation,
        variance,
        (pairs / (1 + (first - second) ** 2)).sum(),
        sum_mean,
        summed @ sums**2 - sum_mean**2,
        _entropy(summed, summed),
        _entropy(pairs, pairs),
        apart.var(),
        _entropy(apart, apart),
        *_information(pairs, single),
    )
    return np.array(found, dtype=float)


def _by(index: NDArray[np.intp], pairs: Floats) -> Floats:
    return np.bincount(index.ravel(), weights=pairs.ravel()).astype(float)


def _information(pairs: Floats, single: Floats) -> tuple[float, float]:
    """Return how much one pixel of a pair says about the other: both measures of correlation."""
    chance = np.outer(single, single)
    joint = _entropy(pairs, pairs)
    first = (joint - _entropy(pairs, chance)) / _entropy(single, single)
    return first, np.sqrt(max(0.0, 1 - np.exp(-2 * (_entropy(chance, chance) - joint))))


def _entropy(shares: Floats, expected: Floats) -> float:
    return -float((shares * np.log2(expected + _TINY)).sum())
