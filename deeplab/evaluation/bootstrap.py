"""How sure a figure is: percentile intervals from slides drawn again (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Resampling:
    """How slides are drawn again: whole slides, as many as there are, with replacement."""

    draws: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its interval; `low` and `high` are NaN with fewer than two slides."""

    value: float
    low: float
    high: float


def mean_over_rows(values: Values) -> Values:
    """Return the mean of each row."""
    return np.asarray(values.mean(axis=1))


def interval_of_slides(
    values: ArrayLike,
    resampling: Resampling,
    statistic: Callable[[Values], Values] = mean_over_rows,
) -> Interval:
    """A statistic of one figure per slide, the mean if not told; slides with NaN are left out.

    `statistic` takes (draws, slides) and gives (draws,). NaN where no slide has a figure.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(statistic(known[None])[0])
    if known.size < 2:
        return Interval(value, float("nan"), float("nan"))
    random = np.random.default_rng(resampling.seed)
    drawn = known[random.integers(known.size, size=(resampling.draws, known.size))]
    return Interval(value, *_percentiles(statistic(drawn), resampling.confidence))


def intervals_of_pooled(
    slides: ArrayLike, resampling: Resampling, statistic: Callable[[Values], ArrayLike]
) -> tuple[Interval, ...]:
    """Figures of counts that are summed over slides first: (slides, ...) such as confusions.

    `statistic` takes one sum and gives one figure or a row of them. A draw in which a figure is
    NaN does not count for that figure.
    """
    counts = np.asarray(slides, np.float64)  # exact up to 9e15
    slide_count = len(counts)
    values = np.atleast_1d(np.asarray(statistic(counts.sum(axis=0)), np.float64))
    if slide_count < 2:
        return tuple(Interval(float(value), float("nan"), float("nan")) for value in values)
    random = np.random.default_rng(resampling.seed)
    times = random.multinomial(slide_count, [1 / slide_count] * slide_count, resampling.draws)
    # Draw by draw: the sums of all would be 2,000 times a matrix of up to 255 x 255 labels.
    sums = (np.tensordot(each.astype(np.float64), counts, axes=1) for each in times)
    drawn = np.array([np.atleast_1d(np.asarray(statistic(each), np.float64)) for each in sums])
    return tuple(
        Interval(float(value), *_percentiles(column, resampling.confidence))
        for value, column in zip(values, drawn.T, strict=True)
    )


def _percentiles(drawn: Values, confidence: float) -> tuple[float, float]:
    # Taken as they are, not interpolated: between a number and infinity there is nothing.
    known = np.sort(drawn[~np.isnan(drawn)])
    if not known.size:
        return float("nan"), float("nan")
    left_out = int((1 - confidence) / 2 * known.size)
    return float(known[left_out]), float(known[known.size - 1 - left_out])
