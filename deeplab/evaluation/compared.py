"""What was compared, and what limits the figures of it: sentences made of what was counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.evaluation.figures import Figures
from deeplab.exchange.labelling import nearest
from deeplab.report.words import counted, listed, said_once

FEW_SLIDES = 10
FEW_OBJECTS = 30
MOST_OF_A_CLASS = 0.8  # of its area on one slide: the figure is that slide's


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What was compared.

    Attributes:
        request: what was asked for.
        model: that predicted, where it is known; several with commas between them.
        left_out: why a slide was not compared, by its name.
        unused: layers that are of no class.
        of_reference: classes that the reference has on some slide.
        of_prediction: classes that the prediction has on some slide.
        mismatched: why no name is on both sides of a slide, by the slide's name.
        idle_aliases: aliases whose name no layer has.
    """

    request: EvaluateRequest
    model: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    of_reference: tuple[str, ...] = ()
    of_prediction: tuple[str, ...] = ()
    mismatched: dict[str, str] = field(default_factory=dict)
    idle_aliases: tuple[str, ...] = ()


def limits(figures: Figures, compared: Compared) -> list[str]:
    """Return what a reader must know before trusting the figures, the gravest first."""
    return [
        *remarks_on_names(compared),
        *_of_the_layers(compared),
        *_of_the_slides(figures, compared),
        *_of_the_classes(figures),
        *_of_the_reference(compared),
        *_of_the_outlines(figures),
    ]


def remarks_on_names(compared: Compared) -> Iterator[str]:
    """Yield remarks on names of layers: those on one side only, and those in no figure."""
    for slide, why in compared.mismatched.items():
        yield f"{slide}: {why}. All that is drawn there counts as missed."
    for alias in compared.idle_aliases:
        yield f"No layer has the first name of the alias {alias}."
    sides = (
        (compared.of_reference, compared.of_prediction, "reference", "prediction"),
        (compared.of_prediction, compared.of_reference, "prediction", "reference"),
    )
    for own, others, here, there in sides:
        for name in own:
            if name in others:
                continue
            said = f"Only the {here} has layers of {name}, the {there} has none."
            alike = nearest(name, tuple(other for other in others if other not in own))
            if alike:
                said += f' Is it called {alike} there? Then say so: --aliases "{alike}={name}".'
            yield said


def _of_the_layers(compared: Compared) -> Iterator[str]:
    if compared.unused:
        yield f"Layers that were not asked for are in no figure: {listed(compared.unused)}."
    if "," in compared.model:
        yield f"The slides have predictions of different models: {compared.model}."


def _of_the_slides(figures: Figures, compared: Compared) -> Iterator[str]:
    count = len(figures.scores)
    if count == 1:
        yield (
            "The figures are of one slide. How much they would differ on another cannot be said"
            " from one, so there are no intervals."
        )
    elif count < FEW_SLIDES:
        yield (
            f"The figures rest on {counted(count, 'slide')}. With so few the intervals are mostly"
            " too narrow."
        )
    if compared.left_out:
        yield f"{counted(len(compared.left_out), 'slide')} could not be compared; see the end."


def _of_the_classes(figures: Figures) -> Iterator[str]:
    by_slide = np.stack([score.mm2.sum(axis=1) for score in figures.scores])
    for label, name in enumerate(figures.classes, start=1):
        areas, objects = by_slide[:, label], figures.pooled("true_objects", name).value
        if not areas.any():
            yield f"No {name} is drawn where it was judged: how well it is found is not known."
        elif objects < FEW_OBJECTS:
            yield f"Only {counted(int(objects), 'object')} of {name} can be judged by."
        if len(areas) > 1 and areas.max() > MOST_OF_A_CLASS * areas.sum():
            slide = figures.scores[int(areas.argmax())].name
            share = f"{areas.max() / areas.sum():.0%}"
            yield f"{share} of the {name} that was drawn is on one slide, {slide}."


def _of_the_reference(compared: Compared) -> Iterator[str]:
    request = compared.request
    if not (request.region_layer or request.regions):
        yield (
            "All of the slide was judged: where nothing is drawn counts as background. What was"
            " overlooked when it was annotated counts as an error where it was predicted. Where"
            " only parts of a slide were annotated, draw a layer around those and name it as the"
            " layer of regions."
        )


def _of_the_outlines(figures: Figures) -> Iterator[str]:
    scores = figures.scores
    for remark in said_once((each.name, said) for each in scores for said in each.remarks):
        yield f"{remark}."
