"""What limits the figures of a report: sentences that are made of what was counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deeplab.report.words import counted
from deeplab.training.history import CheckNote
from deeplab.training.reporting.facts import TrainingReportFacts, patients
from deeplab.training.validation.results import Validation, spread

FEW_SLIDES = 10
FEW_OBJECTS = 30
MOST_OF_A_CLASS = 0.8  # of its pixels or objects on one slide: the figure is that slide's
STILL_RISING = 0.01  # in the last third of the validations


def limits(facts: TrainingReportFacts) -> list[str]:
    """Return what a reader must know before trusting the figures, the gravest first."""
    found = facts.validation
    if found is None or not found.slides:
        return [
            "No slide was held out. Nothing here says how good the model is on slides that it has "
            "not seen: hold some out, or look at its results on new ones.",
            *_of_the_training(facts),
        ]
    return [
        *_of_the_slides(facts, found),
        *_of_the_classes(facts, found),
        *_of_the_choice(facts, found),
        *_of_the_training(facts),
    ]


def _of_the_slides(facts: TrainingReportFacts, found: Validation) -> Iterator[str]:
    count, name = len(found.slides), found.nothing.score_name
    if count < FEW_SLIDES:
        held = facts.on("validation")
        of = f" of {counted(patients(held), 'patient')}" if held else ""
        said = f"The figures rest on {counted(count, 'slide')}{of}; with others they would differ."
        bounds = spread([slide.tally for slide in found.slides], facts.seed)
        if bounds:
            said += (
                f" Drawing as many from these, again and again and with repetition, gives a "
                f"{name} between {bounds[0]:.2f} and {bounds[1]:.2f} in 95 of 100 draws."
            )
        yield said
    if count > 1:
        scores = [(slide.tally.score, slide.slide) for slide in found.slides]
        (low, worst), (high, best) = min(scores), max(scores)
        if high - low > 0.1:
            yield f"Slides differ: {name} is {low:.2f} on {worst} and {high:.2f} on {best}."
    cut = [slide for slide in found.slides if slide.chosen_px < slide.region_px]
    if cut:
        seen, whole = (
            sum(getattr(slide, name) * slide.work_mpp**2 for slide in cut) / 1e6
            for name in ("chosen_px", "region_px")
        )
        yield (
            f"To save time {counted(len(cut), 'large slide')} "
            f"{'was' if len(cut) == 1 else 'were'} judged on a random choice of tiles, the same "
            f"at every validation: {seen:.3g} of {whole:.3g} mm² that could be judged."
        )
    for slide_name, why in found.set_aside.items():
        yield f"{slide_name} could not be read any more and is in no figure ({why})."


def _of_the_classes(facts: TrainingReportFacts, found: Validation) -> Iterator[str]:
    held = facts.on("validation")
    by_slide = np.stack([slide.tally.class_amounts for slide in found.slides])
    for label, each in enumerate(facts.classes, start=1):
        amounts = by_slide[:, label - 1]
        objects = sum(slide.objects[label - 1] for slide in held)
        if not amounts.any():
            yield f"{each.name} is on no held-out slide: how well it is found is not known."
        elif held and objects < FEW_OBJECTS:
            yield f"Only {counted(objects, 'object')} of {each.name} can be judged by."
        elif len(amounts) > 1 and amounts.max() > MOST_OF_A_CLASS * amounts.sum():
            slide, share = found.slides[int(amounts.argmax())].slide, amounts.max() / amounts.sum()
            yield (
                f"{share:.0%} of the {each.name} that it was judged by is on one slide, {slide}."
            )
        learnt = sum(slide.objects[label - 1] for slide in facts.on("train"))
        if facts.on("train") and learnt < FEW_OBJECTS:
            yield f"It learnt {each.name} from only {counted(learnt, 'object')}."


def _of_the_choice(facts: TrainingReportFacts, found: Validation) -> Iterator[str]:
    checks = facts.history.checks
    if facts.kept == "best" and len(checks) > 1:
        yield (
            f"The model is the best of {len(checks)} validations on these very slides, so the "
            "figures are a little better than those of new slides will be."
        )
    late = _gain_at_the_end(checks)
    if late > STILL_RISING and found.step == checks[-1].step:
        yield (
            f"The score was still rising at the end, by {late:.2f} in the last third of the "
            "training: more steps may make it better."
        )
    if facts.background_assumed:
        yield (
            "Tissue on which nothing was drawn counts as background. What was overlooked when the "
            "slides were annotated counts as an error where the model finds it."
        )


def _of_the_training(facts: TrainingReportFacts) -> Iterator[str]:
    taken = facts.history.steps[-1].step if facts.history.steps else 0
    if 0 < taken < facts.planned_steps:
        yield f"The training ended after {taken:,} of {facts.planned_steps:,} steps."
    if facts.set_aside:
        yield (
            f"{counted(len(facts.set_aside), 'slide')} turned unreadable during the training: "
            f"{', '.join(facts.set_aside)}."
        )


def _gain_at_the_end(checks: tuple[CheckNote, ...]) -> float:
    """By how much the best score rose in the last third of the validations."""
    if len(checks) < 6:
        return 0.0
    scores = np.array([check.score for check in checks])
    before = scores[: len(scores) * 2 // 3]
    return float(np.nan_to_num(np.nanmax(scores) - np.nanmax(before)))
