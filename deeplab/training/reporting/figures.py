"""What a report says of how good a model is, by the kind of what was judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Final, NamedTuple

from markupsafe import Markup

from deeplab.config.classes import ClassList, SlideClass, hex_colour
from deeplab.evaluation.charts import confusion_png
from deeplab.evaluation.instances import PanopticSums
from deeplab.evaluation.object_tally import ObjectTally
from deeplab.evaluation.patch_tally import PatchTally
from deeplab.evaluation.semantic import Confusion
from deeplab.report.page import image, table, tag
from deeplab.report.words import NOTHING, as_mm2, as_percent, as_score, swatch
from deeplab.training.reporting.facts import TrainingReportFacts
from deeplab.training.validation.results import Validation, spread

BACKGROUND = SlideClass("background", (255, 255, 255))
EVERY = SlideClass("all types together", (255, 255, 255))
MOST_DRAWN = 300  # slides whose histograms are drawn from, again and again, in seconds
MOST_CARDS = 6  # more classes than that are read in the table


class FigureSections(NamedTuple):
    """The parts of a page that hold figures.

    Attributes:
        cards: the most important ones.
        figures: all of them.
        mistakes: what is mistaken for what.
    """

    cards: Callable[[TrainingReportFacts, Validation], Markup]
    figures: Callable[[TrainingReportFacts, Validation], Iterator[Markup]]
    mistakes: Callable[[Validation, ClassList], Iterator[Markup]]


def _cards(facts: TrainingReportFacts, found: Validation, words: str) -> Markup:
    pooled = found.pooled
    cards, scores = [_card(words, pooled.score)], pooled.class_scores.tolist()
    cards += [
        _card(f"{pooled.class_score_name} of {each.name}", value, each)
        for each, value in islice(zip(facts.classes, scores, strict=True), MOST_CARDS)
    ]
    return tag("div", cards, class_="cards")


def _cards_of_labels(facts: TrainingReportFacts, found: Validation) -> Markup:
    return _cards(facts, found, "mean IoU, background included")


def _cards_of_objects(facts: TrainingReportFacts, found: Validation) -> Markup:
    return _cards(facts, found, "PQ, mean over the types")


def _card(words: str, value: float, of: SlideClass | None = None) -> Markup:
    inside = (tag("b", as_score(value)), tag("span", words))
    if of is None:
        return tag("div", *inside, class_="card")
    return tag("div", *inside, class_="card", style=f"border-top-color: {hex_colour(of.colour)}")


def _figures_of_labels(facts: TrainingReportFacts, found: Validation) -> Iterator[Markup]:
    pooled = Confusion.of(found.pooled.counts)
    yield tag("h2", "How good it is on slides that it has not seen")
    yield tag(
        "p",
        "Every figure goes from 0 (never right) to 1 (always right). Dice and IoU compare the area "
        "that was drawn with the area that was predicted. Precision is the share of the predicted "
        "area that is right; recall is the share of the drawn area that was found.",
        class_="note",
    )
    held = facts.on("validation")
    mm2 = _mm2_by_label(found)
    rows = [
        [
            swatch(each),
            as_score(pooled.dice[label]),
            as_score(pooled.iou[label]),
            as_score(pooled.precision[label]),
            as_score(pooled.recall[label]),
            as_mm2(mm2[label]),
            f"{sum(s.objects[label - 1] for s in held):,}" if label and held else NOTHING,
        ]
        for label, each in enumerate((BACKGROUND, *facts.classes))
    ]
    head = ["", "Dice", "IoU", "precision", "recall", "judged area, mm²", "objects drawn"]
    yield table(head, rows)
    yield tag(
        "p",
        f"All slides together: mean IoU {as_score(pooled.mean_iou)}; the label is right on "
        f"{as_percent(pooled.accuracy)} of {as_mm2(sum(mm2))} mm². Areas that nobody judged are in "
        "no figure.",
    )
    yield from _slide_by_slide(facts, found)


def _figures_of_objects(facts: TrainingReportFacts, found: Validation) -> Iterator[Markup]:
    pooled = ObjectTally.of(found.pooled.counts)
    yield tag("h2", "How good it is on slides that it has not seen")
    yield tag(
        "p",
        "Every figure goes from 0 (never right) to 1 (always right). An object is found where the "
        "predicted one and the drawn one share more than half of what they cover together. DQ says "
        "how many are found (F1), SQ how well their outlines agree (mean IoU), and PQ is their "
        "product. AJI+ compares areas, object by object. Objects of a type are matched among "
        "themselves.",
        class_="note",
    )
    rows = [
        [EVERY.name, *_of_sums(pooled.sums[0])],
        *(
            [swatch(each), *_of_sums(sums)]
            for each, sums in zip(facts.classes, pooled.sums[1:], strict=True)
        ),
    ]
    head = ["", "PQ", "DQ", "SQ", "AJI+", "precision", "recall", "drawn", "predicted"]
    yield table(head, rows)
    scores = (slide.tally.score for slide in found.slides)
    known = [score for score in scores if not math.isnan(score)]
    yield tag(
        "p",
        f"All slides together, PQ as the mean over the types is {as_score(pooled.score)}; its mean "
        "over the slides is "
        f"{as_score(sum(known) / len(known) if known else float('nan'))}. What lies mostly on "
        "areas that nobody judged is in no figure.",
    )
    yield from _slide_by_slide(facts, found)


def _cards_of_patches(facts: TrainingReportFacts, found: Validation) -> Markup:
    return _cards(facts, found, "macro F1")


def _figures_of_patches(facts: TrainingReportFacts, found: Validation) -> Iterator[Markup]:
    pooled = PatchTally.of(found.pooled.counts)
    limits = pooled.thresholds
    yield tag("h2", "How good it is on patches that it has not seen")
    said = (
        "Every figure goes from 0 to 1. Recall is the share of the patches with a class that were "
        "found, precision the share of those found that have it, F1 is between them. AUROC says "
        "how often a patch with the class has a higher score than one without it (0.5 is chance), "
        "average precision is the area under the curve of precision over recall. "
    )
    said += (
        "A patch is taken for the class of its highest score."
        if pooled.exclusive
        else "A patch is taken for a class from the threshold on that gave the best F1 on these "
        "patches themselves, so F1 on others is a little lower; the model keeps the thresholds."
    )
    yield tag("p", said, class_="note")
    columns = (
        pooled.class_scores,
        pooled.precision(limits),
        pooled.recall(limits),
        pooled.auroc,
        pooled.average_precision,
        limits,
    )
    head = ["", "F1", "precision", "recall", "AUROC", "average precision", "threshold"]
    last = len(columns) - pooled.exclusive  # without thresholds where there are none
    rows = [
        [
            swatch(each),
            *(as_score(column[label]) for column in columns[:last]),
            f"{pooled.class_amounts[label]:,}",
        ]
        for label, each in enumerate(facts.classes)
    ]
    yield table([*head[: last + 1], "patches"], rows)
    precision, recall, f1 = pooled.micro(limits)
    yield tag(
        "p",
        f"All {pooled.patches:,} patches together: macro F1 {as_score(pooled.score)}; of all "
        f"decisions together (micro) precision {as_score(precision)}, recall {as_score(recall)}, "
        f"F1 {as_score(f1)}.",
    )
    yield from _intervals(facts, found)
    yield from _reliability(pooled)
    yield from _slide_by_slide(facts, found)


def _intervals(facts: TrainingReportFacts, found: Validation) -> Iterator[Markup]:
    """Yield how far AUROC depends on which slides were held out."""
    tallies = [PatchTally.of(slide.tally.counts) for slide in found.slides]
    if len(tallies) > MOST_DRAWN:
        return
    said = []
    for label, each in enumerate(facts.classes):
        bounds = spread(tallies, facts.seed, partial(_auroc, label=label))
        if bounds:
            said.append(f"{each.name} {bounds[0]:.3f} to {bounds[1]:.3f}")
    if said:
        yield tag(
            "p",
            "Drawing as many of the held-out slides or images, again and again and with "
            f"repetition, gives an AUROC, in 95 of 100 draws, of {'; '.join(said)}.",
        )


def _auroc(tally: PatchTally, label: int) -> float:
    return float(tally.auroc[label])


def _reliability(pooled: PatchTally) -> Iterator[Markup]:
    """Yield whether scores are the shares that they seem to be."""
    yield tag("h3", "Are its scores probabilities?")
    yield tag(
        "p",
        "Of all scores of about 0.7, 70 % should be of patches that have the class. The expected "
        f"calibration error is {as_score(pooled.calibration_error)}.",
    )
    scores, shares, total = pooled.reliability
    rows = []
    for place, (score, share, count) in enumerate(zip(scores, shares, total, strict=True)):
        if count:
            ends = f"{place / len(total):.1f} to {(place + 1) / len(total):.1f}"
            rows.append([ends, as_score(score), as_score(share), f"{count:,}"])
    yield table(["scores", "mean score", "share with the class", "scores counted"], rows)


def _of_sums(sums: PanopticSums) -> list[str]:
    shares = (
        sums.panoptic_quality,
        sums.detection_quality,
        sums.segmentation_quality,
        sums.aji_plus,
        sums.precision,
        sums.recall,
    )
    counts = (sums.true_objects, sums.predicted_objects)
    return [*map(as_score, shares), *(f"{count:,.0f}" for count in counts)]


def _slide_by_slide(facts: TrainingReportFacts, found: Validation) -> Iterator[Markup]:
    yield tag("h3", "Slide by slide")
    patient = {slide.name: slide.patient for slide in facts.slides}
    of_class, names = found.nothing.class_score_name, facts.classes.names
    head = ["slide", "patient", found.nothing.score_name, *(f"{of_class} {n}" for n in names)]
    yield table(
        [*head, "judged, mm²", "of, mm²"],
        [
            [
                score.slide,
                patient.get(score.slide) or NOTHING,
                as_score(score.tally.score),
                *(as_score(value) for value in score.tally.class_scores),
                as_mm2(score.chosen_px * score.work_mpp**2 / 1e6),
                as_mm2(score.region_px * score.work_mpp**2 / 1e6),
            ]
            for score in sorted(found.slides, key=lambda each: each.tally.score)
        ],
        words=2,
    )


def _mistakes(found: Validation, classes: ClassList, caption: str, unit: str) -> Iterator[Markup]:
    names, counts = ("background", *classes.names), found.pooled.confused
    yield tag("h2", "What it mistakes for what")
    yield tag(
        "figure",
        image(confusion_png(Confusion.of(counts), classes), "png", "confusion matrix"),
        tag("figcaption", caption),
        style="max-width: 640px",
    )
    yield tag(
        "details",
        tag("summary", f"The same as numbers of {unit}"),
        table(
            ["drawn \\ predicted", *names],
            [
                [name, *(f"{count:,}" for count in row)]
                for name, row in zip(names, counts.tolist(), strict=True)
            ],
        ),
    )


def _mistakes_of_labels(found: Validation, classes: ClassList) -> Iterator[Markup]:
    caption = (
        "Of the area drawn as the class of a row, the share that was predicted as the class of "
        "each column. All on the diagonal would be perfect."
    )
    yield from _mistakes(found, classes, caption, "pixels")


def _mistakes_of_objects(found: Validation, classes: ClassList) -> Iterator[Markup]:
    caption = (
        "Of the objects drawn as the type of a row, the share that was found as the type of each "
        "column; background is no object at all."
    )
    yield from _mistakes(found, classes, caption, "objects")


def _mistakes_of_patches(found: Validation, classes: ClassList) -> Iterator[Markup]:
    caption = (
        "Of the patches of the class of a row, the share that was taken for the class of each "
        "column at a score of 0.5; background is none of the classes."
    )
    yield from _mistakes(found, classes, caption, "patches")


def _mm2_by_label(found: Validation) -> list[float]:
    total = [0.0] * len(found.nothing.confused)
    for slide in found.slides:
        for label, pixels in enumerate(slide.tally.confused.sum(axis=1).tolist()):
            total[label] += pixels * slide.work_mpp**2 / 1e6
    return total


SECTIONS: Final[Mapping[str, FigureSections]] = MappingProxyType(
    {
        "labels": FigureSections(_cards_of_labels, _figures_of_labels, _mistakes_of_labels),
        "patch": FigureSections(_cards_of_patches, _figures_of_patches, _mistakes_of_patches),
        "objects": FigureSections(_cards_of_objects, _figures_of_objects, _mistakes_of_objects),
    }
)
