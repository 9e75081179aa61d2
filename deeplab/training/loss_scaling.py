"""How far a loss is enlarged before its gradient is taken, where gradients are float16.

float16 has no small numbers: gradients below 6e-8 are 0 there. The loss is enlarged as far as none
of them overflows: by half as much after an overflow, by twice as much after 2,000 updates without
one (Micikevicius 2018, arXiv:1710.03740).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

Tensor = Any  # TensorFlow has no types

FIRST_SCALE = 2.0**15
GROWS_AFTER = 2000  # updates without overflow


class ScaleState(NamedTuple):
    """What is kept of a scale from step to step.

    Attributes:
        scale: by which the loss is multiplied, float32.
        since_overflow: updates since it last moved, int64.
    """

    scale: Tensor
    since_overflow: Tensor


@dataclass(frozen=True, slots=True)
class LossScaling:
    """The rule by which the scale of a loss moves.

    Attributes:
        is_used: Whether gradients are float16 anywhere; else the scale is 1 and stays so.
    """

    is_used: bool

    @property
    def first_scale(self) -> float:
        """The scale of the first step."""
        return FIRST_SCALE if self.is_used else 1.0

    def overflows(self, norm: Tensor, scale: Tensor) -> Tensor:
        """Tell whether gradients of this norm are no numbers for their scale alone, bool ().

        A scale of 1 cannot be to blame: such a loss is no number itself.
        """
        return ~tf.math.is_finite(norm) & (self.is_used & (scale > 1.0))

    def after(self, before: ScaleState, *, moves: Tensor, overflows: Tensor) -> ScaleState:
        """Return the state after a step.

        Args:
            before: that of the step.
            moves: whether the step has moved the weights, bool ().
            overflows: whether its gradients overflowed, bool ().
        """
        since = before.since_overflow + tf.cast(moves, tf.int64)
        since = tf.where(overflows, tf.zeros((), tf.int64), since)
        scale = tf.where(overflows, before.scale / 2.0, before.scale)
        if self.is_used:
            grows = since >= GROWS_AFTER
            scale = tf.where(grows, scale * 2.0, scale)
            since = tf.where(grows, tf.zeros_like(since), since)
        return ScaleState(scale, since)
