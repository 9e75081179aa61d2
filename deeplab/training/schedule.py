"""The learning rate over the steps of a run, or of several rounds of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from keras import ops

from deeplab.config.train_request import DescentSettings, LearningPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A straight rise to the highest rate, then a fall by one of the policies.

    Attributes:
        policy: of the fall.
        start: rate at step 0.
        peak: highest rate.
        end: rate at the last step, of the policies "cosine" and "poly".
        slow_steps: length of the rise.
        steps: length of the whole, the rise included.
        power: of the policy "poly".
        drop_every: steps from one drop to the next, of the policy "step".
        drop_to: what remains of the rate at a drop.
        first: where on the schedule step 0 of this run lies.
    """

    policy: LearningPolicy
    start: float
    peak: float
    end: float
    slow_steps: int
    steps: int
    power: float
    drop_every: int
    drop_to: float
    first: int

    def rate(self, step: Any) -> Any:  # noqa: ANN401  a number or a tensor of either kind
        """Return the rate of a step of this run, counted from 0; float32."""
        position = ops.cast(step, "float32") + float(self.first)
        rise = self.start + (self.peak - self.start) * position / max(self.slow_steps, 1)
        fall = _FALLS[self.policy](self, ops.maximum(position - self.slow_steps, 0.0))
        return ops.where(position < self.slow_steps, rise, fall)

    def share_done(self, fallen: Any) -> Any:  # noqa: ANN401
        """Return how much of the fall is done after so many of its steps, 0 to 1."""
        return ops.minimum(fallen / max(self.steps - self.slow_steps, 1), 1.0)


def _cosine(of: Schedule, fallen: Any) -> Any:  # noqa: ANN401
    """Half a wave of the cosine (Loshchilov 2017, arXiv:1608.03983)."""
    return of.end + (of.peak - of.end) * (1.0 + ops.cos(math.pi * of.share_done(fallen))) / 2.0


def _poly(of: Schedule, fallen: Any) -> Any:  # noqa: ANN401
    """Return a polynomial (Liu 2015, arXiv:1506.04579, which DeepLab took over)."""
    return of.end + (of.peak - of.end) * ops.power(1.0 - of.share_done(fallen), of.power)


def _step(of: Schedule, fallen: Any) -> Any:  # noqa: ANN401
    """Drops at equal distances."""
    return of.peak * ops.power(of.drop_to, ops.floor(fallen / of.drop_every))


_FALLS: Mapping[LearningPolicy, Callable[[Schedule, Any], Any]] = MappingProxyType(
    {"cosine": _cosine, "poly": _poly, "step": _step}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPhases:
    """A schedule, and another one from a step on.

    Attributes:
        before: the first.
        after: the second; it counts from where it begins.
    """

    before: Schedule
    after: Schedule

    def rate(self, step: Any) -> Any:  # noqa: ANN401  a number or a tensor of either kind
        """Return the rate of a step of this run, counted from 0; float32."""
        is_before = ops.cast(step, "float32") + float(self.before.first) < self.before.steps
        return ops.where(is_before, self.before.rate(step), self.after.rate(step))


def schedule_of(settings: DescentSettings) -> Schedule | TwoPhases:
    """Return the schedule that is asked for.

    It ends with this run, or after `decay_steps`, which are those of all rounds. The rise takes at
    most half of it, so that a short trial with the settings of a long run learns, too. Where the
    encoder is frozen at first, the steps with it and those after have a whole schedule each.
    """
    steps = settings.decay_steps or settings.global_step + settings.steps
    frozen = settings.freeze_encoder_steps
    if not frozen:
        return _of_steps(settings, steps, settings.global_step)
    return TwoPhases(
        before=_of_steps(settings, frozen, settings.global_step),
        after=_of_steps(settings, steps - frozen, settings.global_step - frozen),
    )


def _of_steps(settings: DescentSettings, steps: int, first: int) -> Schedule:
    return Schedule(
        policy=settings.learning_policy,
        start=settings.learning_rate_start,
        peak=settings.learning_rate,
        end=settings.end_learning_rate,
        slow_steps=min(settings.slow_start_step, steps // 2),
        steps=steps,
        power=settings.learning_power,
        drop_every=settings.learning_rate_decay_step,
        drop_to=settings.learning_rate_decay_factor,
        first=first,
    )
