"""How much a figure differs between two models on the same slides, and how sure that is.

It is what `deeplab compare` computes: slides differ more from each other than models do, so it is
the differences on each slide that are averaged, and slides that are drawn again (Efron 1979) for
the interval of that mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS, CONFIDENCE, SEED = 2000, 0.95, 0

BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, TOO_FEW = "no difference that these slides show", "too few slides to tell"


@dataclass(frozen=True)
class Difference:
    """How much larger a figure is with the new model.

    Attributes:
        slides: number of those on which both models have it.
        old: its mean over these with the old model.
        new: with the new one.
        low: bound of the interval of `change`; NaN of fewer than two slides.
        high: the other one.
    """

    slides: int
    old: float
    new: float
    low: float
    high: float

    @property
    def change(self) -> float:
        """The mean of the differences."""
        return self.new - self.old

    @property
    def verdict(self) -> str:
        """What can be said of it, in a few words."""
        if math.isnan(self.low):
            return TOO_FEW
        if self.low > 0:
            return BETTER
        return WORSE if self.high < 0 else NO_DIFFERENCE


def difference(old: Sequence[float], new: Sequence[float]) -> Difference:
    """Return how a figure differs between two models.

    Args:
        old: of each slide with the old model, (slides,), at least one.
        new: of the same slides with the new one.
    """
    before, after = np.asarray(old, np.float64), np.asarray(new, np.float64)
    low, high = interval_of_mean(after - before)
    return Difference(before.size, float(before.mean()), float(after.mean()), low, high)


def interval_of_mean(values: np.ndarray) -> tuple[float, float]:
    """Return the bounds of the mean of one value a slide, (slides,); NaN of fewer than two."""
    if values.size < 2:
        return math.nan, math.nan
    random = np.random.default_rng(SEED)
    drawn = np.sort(values[random.integers(values.size, size=(DRAWS, values.size))].mean(axis=1))
    left_out = int((1 - CONFIDENCE) / 2 * DRAWS)
    return float(drawn[left_out]), float(drawn[-1 - left_out])
