"""Trainings that make up one command: each is done once, and what it came to is remembered.

A part that is done leaves its model and a record in the work folder of the whole. When the same
command is given again, parts with a record of the same settings are taken as they are; so a command
of several trainings goes on where it stopped, as one training does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.errors import OutputError
from deeplab.evaluation.tally import tally_from_json, tally_to_json
from deeplab.files import whole_file
from deeplab.training.identity import agreed_settings
from deeplab.training.result import TrainOnce, TrainResult

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One training of several.

    Attributes:
        title: that people know it by.
        request: what it is asked; its model and work folder are its own.
    """

    title: str
    request: TrainRequest

    @property
    def record(self) -> Path:
        """The file that says what it came to."""
        return self.request.output_model.with_suffix(".json")


def run_part(
    part: Part,
    progress: Progress,
    train_once: TrainOnce,
    *,
    without: TrainResult | None = None,
    expected: str = "",
    within: Path | None = None,
) -> TrainResult:
    """Return what a part came to; it is trained unless it was before.

    Args:
        part: that is to be done.
        progress: is told of its steps, under its title.
        train_once: trains.
        without: see `TrainOnce`.
        expected: see `TrainOnce`; a record of other slides is passed over.
        within: see `agreed_settings`.

    Raises:
        TrainingError, ConfigError, OutputError: as a training does.
    """
    settings = agreed_settings(part.request, within)
    known = _read(part, settings, expected)
    if known:
        log.info("%s was trained before: %s", part.title, part.request.output_model)
        return known
    log.info("%s", part.title)

    def told(stage: str, done: int, total: int) -> None:
        progress(f"{part.title}: {stage}", done, total)

    keras.utils.clear_session(free_memory=True)  # of the trainings before
    result = train_once(part.request, told, without=without, expected=expected)
    _write(part, settings, result)
    return result


def forget(parts: Sequence[Part]) -> None:
    """Remove the records: slides may have changed by the time the same is asked again."""
    for part in parts:
        part.record.unlink(missing_ok=True)


def _write(part: Part, settings: str, result: TrainResult) -> None:
    told = {
        "settings": settings,
        "slides": result.slides,
        "steps": result.steps,
        "loss": result.loss,
        "metrics": dict(result.metrics),
        "set_aside": list(result.set_aside),
        "tallies": {name: tally_to_json(tally) for name, tally in result.tallies.items()},
        "patients": dict(result.patients),
        "gain": result.gain,
    }
    try:
        with whole_file(part.record) as draft:
            draft.write_text(json.dumps(told), encoding="utf-8")
    except OSError as error:
        raise OutputError(part.record, error.strerror or str(error)) from error


def _read(part: Part, settings: str, expected: str) -> TrainResult | None:
    """Return what a part came to before; None where it was not done, or not with these settings."""
    record, model = part.record, part.request.output_model
    if not record.is_file() or not model.is_file():
        return None
    try:
        told: Mapping[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        if told["settings"] != settings or (expected and told["slides"] != expected):
            return None
        return TrainResult(
            model=model,
            steps=int(told["steps"]),
            loss=float(told["loss"]),
            metrics={str(name): float(value) for name, value in told["metrics"].items()},
            set_aside=tuple(map(str, told["set_aside"])),
            worker=0,
            tallies={str(n): tally_from_json(tally) for n, tally in told["tallies"].items()},
            patients={str(name): str(patient) for name, patient in told["patients"].items()},
            slides=str(told["slides"]),
            gain=str(told["gain"]),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        log.warning("%s is damaged, so %s is trained again: %s", record, part.title, error)
        return None
