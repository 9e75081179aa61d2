"""The flow of a plan: the slides are counted, the machine is looked at, and settings are chosen."""

from __future__ import annotations

from pathlib import Path

from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.opening import count_slides
from deeplab.errors import BundleError
from deeplab.training.machine_facts import find_machine
from deeplab.training.plan import PlannedTraining, with_plan
from deeplab.training.plan_rules import make_plan


def plan_training(request: TrainRequest, progress: Progress) -> PlannedTraining:
    """Return a training of `request.hours` with the settings that a plan chooses.

    Raises:
        TrainingError: there is nothing to learn from.
        ConfigError: what was given and what was chosen do not go together.
        SlideError, AnnotationError, ServerError: as reading the slides does.
    """
    census, card = count_slides(request, progress), _card_of(request.initial_model)
    return with_plan(request, make_plan(request, census, find_machine(request), card))


def _card_of(model: Path | None) -> Card | None:
    """Return the card of an initial model; None where it has none."""
    try:
        return read_card(model) if model else None
    except BundleError:  # of another program, or damaged, which the training says when it reads it
        return None
