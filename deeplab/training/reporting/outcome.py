"""What is made of a training when it is done: charts, a report, and the worst regions as layers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deeplab.bundles.card import Card
from deeplab.config.families import task_of
from deeplab.config.train_request import TrainRequest
from deeplab.data.census import SlideCount
from deeplab.data.opening import OpenedSlides
from deeplab.errors import ServerError
from deeplab.evaluation.charts import confusion_png
from deeplab.evaluation.semantic import Confusion
from deeplab.files import whole_file
from deeplab.server.session import ServerLogin, Session
from deeplab.training.history import History
from deeplab.training.plan import plan_of
from deeplab.training.reporting.charts import curves_png, examples_png
from deeplab.training.reporting.examples import Example, examples_of
from deeplab.training.reporting.facts import OtherMethod, SlideFact, TrainingReportFacts
from deeplab.training.reporting.page import write_report
from deeplab.training.reporting.settings_words import all_settings, settings_in_words
from deeplab.training.reporting.worst import post_worst, worst_layers, write_worst
from deeplab.training.result import TrainResult
from deeplab.training.validation.gain import Gain
from deeplab.training.validation.results import Validation

log = logging.getLogger(__name__)

EXAMPLES = 3  # of each kind
UNREADABLE = "it could not be read any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """A training whose model is written.

    Attributes:
        request: what was asked for.
        opened: slides, classes, census.
        card: of the model.
        history: of the training.
        kept_step: whose weights the model has.
        validation: of these weights; None: no slide was held out.
        set_aside: slides to learn from that could not be read to the end.
        first_step: at which the training was last taken up.
        seconds: it took from there.
        patches_per_s: that it learnt from, in its middle step.
        peak_memory_gb: the most that its process held, by where it lay.
        without: the same training without its companion; None: that was not asked for.
        gain: over that one, where held-out slides were judged.
    """

    request: TrainRequest
    opened: OpenedSlides
    card: Card
    history: History
    kept_step: int
    validation: Validation | None
    set_aside: Sequence[str] = ()
    first_step: int = 0
    seconds: float = 0.0
    patches_per_s: float = 0.0
    peak_memory_gb: Mapping[str, float] = field(default_factory=dict)
    without: TrainResult | None = None
    gain: Gain | None = None


def write_outcome(ended: TrainingOutcome, folder: Path) -> None:
    """Write charts and layers to the work folder, the report, and put the layers on the server.

    Each only where it is asked for and there is something to be told.

    Raises:
        OutputError: a file cannot be written.
    """
    facts = facts_of(ended)
    charts: dict[str, Callable[[], bytes]] = {
        "curves.png": lambda: curves_png(
            facts.history, facts.classes, kept_step=facts.kept_step or None
        )
    }
    found = ended.validation
    if found and found.slides:
        charts["confusion.png"] = lambda: confusion_png(
            Confusion.of(found.pooled.confused), facts.classes
        )
    if facts.examples:
        charts["examples.png"] = lambda: examples_png(facts.examples)
    for name, draw in charts.items():
        with whole_file(folder / name) as draft:
            draft.write_bytes(draw())
    if ended.request.output_report:
        write_report(ended.request.output_report, facts)
    if found:
        layers = worst_layers(found, facts.classes, facts.model)
        place = folder / "worst regions"
        write_worst(place, layers)
        try:
            _post(ended, layers)
        except ServerError as error:  # a token may not last as long as a training, whose model is
            log.warning("not all worst regions are on the slides, but they are in %s", place)
            log.warning("%s", error)


def facts_of(ended: TrainingOutcome) -> TrainingReportFacts:
    """Return what the report of a training says."""
    request, card, opened = ended.request, ended.card, ended.opened
    everywhere = request.corrected_only or not request.exhaustive_layer
    assumed = request.unannotated == "background" and everywhere
    return TrainingReportFacts(
        model=request.output_model.name,
        classes=card.classes,
        task=task_of(card.config),
        work_mpp=card.work_mpp or request.work_mpp,
        mpp_range=card.mpp_range,
        source=Path(request.source).name,
        slides=tuple(slide_fact(slide, card.classes.names) for slide in opened.census.slides),
        left_out={entry.name: entry.why for entry in opened.census.left_out},
        set_aside=dict.fromkeys(ended.set_aside, UNREADABLE),
        background_assumed=assumed,
        history=ended.history,
        planned_steps=request.steps,
        kept=request.keep,
        kept_step=ended.kept_step,
        validation=ended.validation,
        examples=_examples(ended),
        comparisons=_comparisons(ended),
        gain=ended.gain.sentence() if ended.gain else "",
        settings=settings_in_words(request, card),
        plan=plan_of(request),
        all_settings=all_settings(request),
        versions=card.versions,
        seed=request.seed,
        seconds=ended.seconds,
        patches_per_s=ended.patches_per_s,
        peak_memory_gb=ended.peak_memory_gb,
        first_step=ended.first_step,
        finished=datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC"),
    )


def _comparisons(ended: TrainingOutcome) -> tuple[OtherMethod, ...]:
    if ended.without is None or ended.gain is None:
        return ()
    pooled = ended.without.figures(ended.request.seed).pooled
    dice = tuple(pooled.class_scores.tolist())
    return (OtherMethod(name="the same without companion", mean_iou=pooled.score, dice=dice),)


def slide_fact(slide: SlideCount, names: Sequence[str]) -> SlideFact:
    """Return what a report says of a slide; `names` are those of the classes."""
    return SlideFact(
        name=slide.name,
        patient=slide.patient,
        side=slide.side,
        mpp=slide.mpp,
        objects=tuple(slide.amounts[name].objects for name in names),
        area_mm2=tuple(slide.amounts[name].area_mm2 for name in names),
    )


def _examples(ended: TrainingOutcome) -> tuple[Example, ...]:
    if ended.validation is None:
        return ()
    slides = {slide.name: slide for slide in ended.opened.held_out}
    return tuple(examples_of(ended.validation, slides, ended.card.classes, each=EXAMPLES))


def _post(ended: TrainingOutcome, layers: Mapping[str, Any]) -> None:
    request = ended.request
    if not request.api_url or request.post_worst != "auto":
        return
    items = {slide.name: slide.source for slide in ended.opened.held_out}
    with Session(ServerLogin(request.api_url, request.token)) as session:
        for name, layer in layers.items():
            post_worst(session, layer, items[name])
