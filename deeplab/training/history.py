"""What happened in a training, step by step: plain numbers that are kept with its checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from deeplab.errors import TrainingError
from deeplab.evaluation.tally import Tally, tally_from_json, tally_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNote:
    """Some steps up to `step`.

    Attributes:
        step: the last of them, counted from 1.
        loss: mean over them.
        terms: of the loss by name, likewise; empty in trainings of before they were told.
        learning_rate: of the last one.
        waiting_share: part of their time, 0 to 1, spent waiting for patches.
    """

    step: int
    loss: float
    learning_rate: float
    waiting_share: float
    terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckNote:
    """One validation: the tally of all that was judged."""

    step: int
    tally: Tally

    @property
    def score(self) -> float:
        """By which validations are compared."""
        return self.tally.score


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The notes of a training in the order of their steps."""

    steps: tuple[StepNote, ...] = ()
    checks: tuple[CheckNote, ...] = ()

    def with_step(self, note: StepNote) -> Self:
        """This history and one note more; what was noted of that step and later ones is undone."""
        return replace(self, steps=(*(n for n in self.steps if n.step < note.step), note))

    def with_check(self, note: CheckNote) -> Self:
        """Likewise, of a validation."""
        return replace(self, checks=(*(n for n in self.checks if n.step < note.step), note))

    @property
    def best(self) -> CheckNote | None:
        """The validation with the highest score, the first of equals; None where none has one."""
        scored = [note for note in self.checks if not math.isnan(note.score)]
        return max(scored, key=lambda note: note.score, default=None)


def history_to_json(history: History) -> str:
    """Return the history as text."""
    return json.dumps(
        {
            "steps": [asdict(note) for note in history.steps],
            "checks": [{"step": note.step, **tally_to_json(note.tally)} for note in history.checks],
        }
    )


def history_from_json(text: str) -> History:
    """Return the history that `history_to_json` wrote.

    Raises:
        TrainingError: it is something else.
    """
    try:
        told = json.loads(text)
        return History(
            steps=tuple(_step_note(**note) for note in told["steps"]),
            checks=tuple(
                CheckNote(step=_whole(note["step"]), tally=tally_from_json(note))
                for note in told["checks"]
            ),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TrainingError("the history of a training is damaged") from error


def _step_note(*, step: object, terms: object = None, **figures: object) -> StepNote:
    if not isinstance(terms, dict | None):
        raise TypeError("terms that have no names")
    return StepNote(
        step=_whole(step),
        terms={name: _number(value) for name, value in (terms or {}).items()},
        **{name: _number(f) for name, f in figures.items()},
    )


def _whole(step: object) -> int:
    if not isinstance(step, int):
        raise TypeError("a step that is no whole number")
    return step


def _number(figure: object) -> float:
    if not isinstance(figure, float | int):
        raise TypeError("a figure that is no number")
    return float(figure)
