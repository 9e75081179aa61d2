"""A plan of a training: what was chosen for it, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from deeplab.config.train_request import TrainRequest

PlanValue = str | int | float | tuple[float, ...]
GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedField:
    """A setting of a training.

    Attributes:
        name: as the request calls it.
        value: that it has.
        reason: why, in words.
        is_given: it is as it was given, and not chosen.
    """

    name: str
    value: PlanValue
    reason: str
    is_given: bool = False

    @property
    def shown(self) -> str:
        """The value as it would stand on a command line."""
        if isinstance(self.value, tuple):
            return ",".join(f"{each:g}" for each in self.value) or "none"
        return f"{self.value:g}" if isinstance(self.value, float) else str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """All settings that a plan has to do with, in the order in which they were chosen.

    Attributes:
        hours: that the training may take.
        fields: of the settings.
    """

    hours: float
    fields: tuple[PlannedField, ...]

    @property
    def chosen(self) -> dict[str, PlanValue]:
        """The settings that were not given."""
        return {each.name: each.value for each in self.fields if not each.is_given}

    def lines(self) -> Iterator[str]:
        """Yield the plan as a table, in characters of one width."""
        yield f"the plan for {self.hours:g} hours:"
        name = max(len(each.name) for each in self.fields)
        shown = max(len(each.shown) for each in self.fields)
        for each in self.fields:
            yield GAP.join([each.name.ljust(name), each.shown.ljust(shown), each.reason])

    def facts(self) -> Mapping[str, str | float]:
        """Return the plan as a card of a model keeps it: a fact for each setting."""
        told = {f"plan {each.name}": f"{each.shown}: {each.reason}" for each in self.fields}
        return {"plan hours": self.hours, **told}


@dataclass(frozen=True, kw_only=True)
class PlannedTraining(TrainRequest):
    """A training whose settings a plan has filled in.

    Attributes:
        plan: that did.
    """

    plan: TrainingPlan


def with_plan(request: TrainRequest, plan: TrainingPlan) -> PlannedTraining:
    """Return the training with what a plan chose for it.

    Raises:
        ConfigError: what was given and what was chosen do not go together.
    """
    given = {each.name: getattr(request, each.name) for each in fields(TrainRequest)}
    settings = {**given, **plan.chosen, "hours": 0.0, "fixed": ()}
    return PlannedTraining(**settings, plan=plan)


def plan_of(request: TrainRequest) -> TrainingPlan | None:
    """Return the plan that filled in the settings of a training; None: there was none."""
    return request.plan if isinstance(request, PlannedTraining) else None
