"""One page about a training that a pathologist can read: it needs no other file and loads none."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from deeplab.config.classes import ClassList
from deeplab.config.families import Task
from deeplab.report.page import Inside, caveats, image, joined, page, table, tag, write_page
from deeplab.report.style import STYLE
from deeplab.report.words import (
    NOTHING,
    as_mm2,
    as_percent,
    as_score,
    counted,
    described,
    listed,
    swatch,
)
from deeplab.training.reporting.charts import curves_png
from deeplab.training.reporting.error_words import ERROR_WORDS
from deeplab.training.reporting.examples import KINDS, Example
from deeplab.training.reporting.facts import SlideFact, TrainingReportFacts, patients
from deeplab.training.reporting.figures import SECTIONS
from deeplab.training.reporting.limits import limits

JPEG_QUALITY = 88
TASKS: Mapping[Task, str] = {"segment": "SegmentWSI", "classify": "ClassifyPatches"}
VERBS: Mapping[Task, str] = {"segment": "outlines", "classify": "finds patches that show"}
WORDS_OF_KINDS = {
    "best": "Where it is best",
    "typical": "Where it is as good as usual",
    "worst": "Where it is worst",
}


def write_report(path: Path, facts: TrainingReportFacts) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_page(path, report(facts))


def report(facts: TrainingReportFacts) -> str:
    """Return the page as text."""
    sections: list[Iterator[Markup]] = [_opening(facts)]
    if facts.validation and facts.validation.slides:
        of_kind = SECTIONS[facts.validation.nothing.kind]
        sections += [
            of_kind.figures(facts, facts.validation),
            of_kind.mistakes(facts.validation, facts.classes),
        ]
    if facts.comparisons:
        sections.append(_comparison(facts))
    if facts.examples:
        sections.append(_examples(facts.examples, facts.classes))
    if facts.history.steps or facts.history.checks:
        sections.append(_course(facts))
    sections += [_slides(facts), _settings(facts), _use(facts), _origin(facts)]
    return page(f"Training of {facts.model}", STYLE, *(list(each) for each in sections))


def _opening(facts: TrainingReportFacts) -> Iterator[Markup]:
    yield tag(
        "header",
        tag("h1", f"Training of {facts.model}"),
        tag("p", "histomics-deeplab", f" · {facts.finished}" if facts.finished else ""),
    )
    yield tag("p", _lead(facts), class_="lead")
    if facts.validation and facts.validation.slides:
        yield SECTIONS[facts.validation.nothing.kind].cards(facts, facts.validation)
    yield caveats("What limits these figures" if facts.validation else "Mind", limits(facts))


def _lead(facts: TrainingReportFacts) -> str:
    names = listed(facts.classes.names)
    said = f"The model {VERBS[facts.task]} {names} at {facts.work_mpp:.3g} µm per pixel."
    learnt = facts.on("train")
    if learnt:
        said += f" It learnt from {_slides_of_patients(learnt)} in {facts.kept_step:,} steps."
    found = facts.validation
    if found and found.slides:
        held = facts.on("validation")
        on = _slides_of_patients(held) if held else counted(len(found.slides), "slide")
        said += f" It was then compared with what had been drawn on {on} that it never learnt from."
    return said


def _comparison(facts: TrainingReportFacts) -> Iterator[Markup]:
    yield tag("h2", "Beside other methods")
    yield tag("p", "All were judged on the same areas of the same held-out slides.")
    rows: list[list[Inside]] = []
    if facts.validation and facts.validation.slides:
        pooled = facts.validation.pooled
        own = [as_score(value) for value in pooled.class_scores]
        rows.append([tag("b", "this model"), as_score(pooled.score), *own])
    rows += [
        [other.name, as_score(other.mean_iou), *(as_score(value) for value in other.dice)]
        for other in facts.comparisons
    ]
    yield table(["", "mean IoU", *(f"Dice {name}" for name in facts.classes.names)], rows)
    if facts.gain:
        yield tag("p", f"Pooled over the patients, {facts.gain}.")


def _examples(examples: Sequence[Example], classes: ClassList) -> Iterator[Markup]:
    yield tag("h2", "What it looks like")
    yield tag(
        "p",
        "Pieces of the held-out slides, chosen by a computer by how much of them is wrong: the "
        "least and the middle ones of those on which a class was drawn, and the most of all. "
        "Outlines are in the colours of the classes; what nobody judged is veiled in grey.",
        class_="note",
    )
    yield tag("p", _swatches(classes))
    for kind in KINDS:
        some = [example for example in examples if example.kind == kind]
        if some:
            yield tag("h3", WORDS_OF_KINDS[kind])
            yield joined(_example(example) for example in some)


def _example(example: Example) -> Markup:
    said = f"{example.slide}, at ({example.x_level0:,}, {example.y_level0:,}) of its pixels: "
    words = ERROR_WORDS[example.judged]
    said += words.sentence(example.error_share)
    if example.commonest_error:
        said += f"; most errors: {words.mistake(*example.commonest_error)}"
    picture = io.BytesIO()
    Image.fromarray(example.panels).save(picture, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    heads = (f"as scanned (bar: {example.bar_um:g} µm)", "as drawn", "as predicted")
    return tag(
        "figure",
        tag("div", [tag("span", head) for head in heads], class_="panels"),
        image(picture.getvalue(), "jpeg", f"{example.kind} region"),
        tag("figcaption", said + "."),
        class_="example",
    )


def _course(facts: TrainingReportFacts) -> Iterator[Markup]:
    history = facts.history
    yield tag("h2", "How the training went")
    chart = curves_png(history, facts.classes, kept_step=facts.kept_step or None)
    yield tag("figure", image(chart, "png", "loss, learning rate and scores over the steps"))
    best = history.best
    if best:
        last = history.checks[-1]
        rows = [
            [words, f"{note.step:,}", as_score(note.score), *map(as_score, note.tally.class_scores)]
            for words, note in (("best validation", best), ("last validation", last))
        ]
        of_class, names = best.tally.class_score_name, facts.classes.names
        head = ["", "step", best.tally.score_name, *(f"{of_class} {name}" for name in names)]
        yield table(head, rows)
        yield tag("p", f"The model that is kept is that of step {facts.kept_step:,}.")
    if history.steps:
        waiting = sum(note.waiting_share for note in history.steps) / len(history.steps)
        yield tag("p", f"{as_percent(waiting)} of the time was spent waiting for patches.")


def _slides(facts: TrainingReportFacts) -> Iterator[Markup]:
    yield tag("h2", "What it learnt from")
    if facts.source:
        yield tag("p", f"Slides of {facts.source}.")
    names = facts.classes.names
    head = ["slide", "patient", "µm/px", *(f"{n} {what}" for n in names for what in ("n", "mm²"))]
    for side, words in (("train", "Learnt from"), ("validation", "Held out")):
        some = facts.on(side)  # type: ignore[arg-type]
        yield tag("h3", f"{words}: {_slides_of_patients(some)}" if some else f"{words}: none")
        if some:
            rows: list[list[Inside]] = [
                [slide.name, slide.patient or NOTHING, f"{slide.mpp:.3g}", *_amounts([slide])]
                for slide in some
            ]
            total = [tag("b", "together"), "", "", *(tag("b", each) for each in _amounts(some))]
            yield table(head, [*rows, total], words=2)
    yield from _unused("Left out", facts.left_out)
    yield from _unused("Set aside while training", facts.set_aside)


def _unused(words: str, slides: Mapping[str, str]) -> Iterator[Markup]:
    if slides:
        yield tag("h3", f"{words}: {counted(len(slides), 'slide')}")
        yield table(["slide", "why"], slides.items(), words=2)


def _amounts(slides: Sequence[SlideFact]) -> list[str]:
    return [
        text
        for place in range(len(slides[0].objects))
        for text in (
            f"{sum(slide.objects[place] for slide in slides):,}",
            as_mm2(sum(slide.area_mm2[place] for slide in slides)),
        )
    ]


def _settings(facts: TrainingReportFacts) -> Iterator[Markup]:
    yield tag("h2", "How it was trained")
    yield described(facts.settings)
    if facts.plan:
        yield tag("h3", f"The plan for {facts.plan.hours:g} hours")
        rows = [[each.name, each.shown, each.reason] for each in facts.plan.fields]
        yield table(["setting", "value", "why"], rows, words=3)
    if facts.all_settings:
        yield tag(
            "details",
            tag("summary", "Every setting"),
            table(["setting", "value"], facts.all_settings.items(), words=2),
        )


def _use(facts: TrainingReportFacts) -> Iterator[Markup]:
    yield tag("h2", "How to use the model")
    low, high = facts.mpp_range or (facts.work_mpp, facts.work_mpp)
    yield tag(
        "p",
        f"It works at {facts.work_mpp:.3g} µm per pixel and reads slides at that scale by itself. "
        f"It may be run at {low:.3g} to {high:.3g} µm per pixel; elsewhere it is refused. In "
        f"HistomicsUI choose the task {TASKS[facts.task]} and this model; on a command line:",
    )
    command = (
        f"deeplab {facts.task} SLIDE --model {shlex.quote(facts.model)} --annotation SLIDE.anot"
    )
    yield tag("p", tag("code", command))
    yield tag("p", "Its classes: ", _swatches(facts.classes))
    yield tag(
        "p",
        "It has seen slides like those above only. Before it is used on slides of another "
        "laboratory, stain, scanner or organ, look at its outlines on some of them.",
    )


def _origin(facts: TrainingReportFacts) -> Iterator[Markup]:
    yield tag("h2", "Where this comes from")
    told = dict(facts.versions)
    told["seed"] = str(facts.seed)
    if facts.seconds:
        since = f", from step {facts.first_step:,} on" if facts.first_step else ""
        told["time taken"] = _duration(facts.seconds) + since
    if facts.patches_per_s:
        told["speed"] = f"{facts.patches_per_s:.3g} patches a second, validations left out"
    for place, gb in facts.peak_memory_gb.items():
        told[f"peak of {place}"] = f"{gb:.2f} GB"
    yield described(told)


def _swatches(classes: ClassList) -> list[Inside]:
    return [(swatch(each), " " * 3) for each in classes]


def _slides_of_patients(slides: tuple[SlideFact, ...]) -> str:
    known = any(slide.patient for slide in slides)
    of = f" of {counted(patients(slides), 'patient')}" if known else ""
    return counted(len(slides), "slide") + of


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min" if minutes else f"{seconds:.0f} s"
