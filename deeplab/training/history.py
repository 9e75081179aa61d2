"""What happened in a training, step by step: plain numbers that are kept with its checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Self

from deeplab.errors import TrainingError
from deeplab.evaluation.semantic import Confusion


@dataclass(frozen=True, slots=True, kw_only=True)
class StepNote:
    """Some steps up to `step`.

    Attributes:
        step: the last of them, counted from 1.
        loss: mean over them.
        learning_rate: of the last one.
        waiting_share: part of their time, 0 to 1, spent waiting for patches.
    """

    step: int
    loss: float
    learning_rate: float
    waiting_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckNote:
    """One validation: all pixels that were judged, by true and predicted label."""

    step: int
    confusion: Confusion

    @property
    def score(self) -> float:
        """By which validations are compared: mean IoU over the labels that occur."""
        return self.confusion.mean_iou


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
    """The history as text."""
    return json.dumps(
        {
            "steps": [asdict(note) for note in history.steps],
            "checks": [
                {"step": note.step, "counts": note.confusion.counts.tolist()}
                for note in history.checks
            ],
        }
    )


def history_from_json(text: str) -> History:
    """The history that `history_to_json` wrote.

    Raises:
        TrainingError: it is something else.
    """
    try:
        told = json.loads(text)
        return History(
            steps=tuple(_step_note(**note) for note in told["steps"]),
            checks=tuple(
                CheckNote(step=_whole(note["step"]), confusion=Confusion.of(note["counts"]))
                for note in told["checks"]
            ),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise TrainingError("the history of a training is damaged") from error


def _step_note(*, step: object, **figures: object) -> StepNote:
    return StepNote(step=_whole(step), **{name: _number(f) for name, f in figures.items()})


def _whole(step: object) -> int:
    if not isinstance(step, int):
        raise TypeError("a step that is no whole number")
    return step


def _number(figure: object) -> float:
    if not isinstance(figure, float | int):
        raise TypeError("a figure that is no number")
    return float(figure)
