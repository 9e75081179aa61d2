"""The learning rate over the steps of a run."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="deeplab")
class SlowStartPoly(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A straight rise to the highest rate, then a polynomial down to the last one.

    rate = start + (peak - start) * step / slow_steps                    while step < slow_steps
    rate = end + (peak - end) * (1 - (step - slow) / (steps - slow)) ** power        after that
    (the "poly" policy of Liu et al. 2015, arXiv:1506.04579, which DeepLab took over).
    """

    def __init__(
        self, *, start: float, peak: float, end: float, slow_steps: int, steps: int, power: float
    ) -> None:
        self.start, self.peak, self.end = start, peak, end
        self.slow_steps, self.steps, self.power = slow_steps, steps, power

    def __call__(self, step: Any) -> Any:  # noqa: ANN401  a number or a tensor of either kind
        """The rate of a step, counted from 0."""
        step = ops.cast(step, "float32")
        slow = float(self.slow_steps)
        rise = self.start + (self.peak - self.start) * step / max(slow, 1.0)
        done = ops.clip((step - slow) / max(self.steps - slow, 1.0), 0.0, 1.0)
        fall = self.end + (self.peak - self.end) * ops.power(1.0 - done, self.power)
        return ops.where(step < slow, rise, fall)

    def get_config(self) -> dict[str, float | int]:
        """The arguments."""
        return {
            "start": self.start,
            "peak": self.peak,
            "end": self.end,
            "slow_steps": self.slow_steps,
            "steps": self.steps,
            "power": self.power,
        }
