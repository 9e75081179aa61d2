"""The flow of a plan: the slides are counted, the machine is looked at, and settings are chosen."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from deeplab.bundles.card import Card
from deeplab.bundles.read import read_card
from deeplab.config.families import options_of
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
    planned = with_plan(request, make_plan(request, census, find_machine(request), card))
    return shaped_as(planned, card)


def shaped_as(planned: PlannedTraining, card: Card | None) -> PlannedTraining:
    """Return a training with the knobs of its initial model, whose weights would not fit else.

    What was given stays as it is.

    Args:
        planned: what is trained.
        card: of the initial model; None where it has none. One of another family shapes nothing.
    """
    if card is None or card.family != planned.network:
        return planned
    given = {option.partition("=")[0].strip() for option in planned.network_options}
    given |= {each.name for each in fields(planned) if getattr(planned, each.name) != each.default}
    more = [f"{name}={text}" for name, text in options_of(card.config).items() if name not in given]
    return replace(planned, network_options=(*planned.network_options, *more))


def _card_of(model: Path | None) -> Card | None:
    """Return the card of an initial model; None where it has none."""
    try:
        return read_card(model) if model else None
    except BundleError:  # of another program, or damaged, which the training says when it reads it
        return None
