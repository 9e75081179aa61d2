"""One page about a comparison that a pathologist can read: it needs no other file, loads none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from markupsafe import Markup

from deeplab import __version__
from deeplab.config.classes import ClassList, SlideClass, hex_colour
from deeplab.config.evaluate_request import BACKGROUND
from deeplab.evaluation.bootstrap import Interval
from deeplab.evaluation.charts import confusion_png
from deeplab.evaluation.compared import Compared, limits
from deeplab.evaluation.error_map import KINDS
from deeplab.evaluation.figures import DISTANCES, Figures
from deeplab.evaluation.semantic import Confusion
from deeplab.evaluation.slide_score import SlideScore
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

MOST_CLASSES = 3  # of which more than Dice is shown slide by slide
SLIDE_COLUMNS = {
    "mean_iou": "mean IoU",
    "dice": "Dice {}",
    "hausdorff_95_um": "95 % Hausdorff {}, µm",
    "object_f1": "object F1 {}",
}
MOST_MAPS = 4
MOST_CARDS = 6  # more than that are read in the table
OWN_STYLE = """
.range { display: block; color: var(--quiet); font-size: 12.5px; }
td:first-child { min-width: 7em; }
.kind { margin-right: 20px; }
.maps { display: flex; flex-wrap: wrap; gap: 8px 24px; }
.maps figure { margin: 8px 0; flex: 0 1 480px; }
.maps img { border: 1px solid var(--line); }
"""
NOTHING_DRAWN = SlideClass(BACKGROUND, (255, 255, 255))


def write_report(path: Path, figures: Figures, compared: Compared) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_page(path, report(figures, compared))


def report(figures: Figures, compared: Compared) -> str:
    """Return the page as text."""
    sections = [
        _opening(figures, compared),
        _areas(figures),
        _mistakes(figures),
        _places(figures),
        _outlines(figures, compared),
        _objects(figures, compared),
        _slides(figures),
        _origin(figures, compared),
    ]
    return page(_title(compared), STYLE + OWN_STYLE, *(list(each) for each in sections))


def as_interval(of: Interval) -> str:
    """Return a figure from 0 to 1 with its interval, where it has one."""
    if math.isnan(of.low):
        return as_score(of.value)
    return f"{as_score(of.value)} ({as_score(of.low)} to {as_score(of.high)})"


def as_um(length_um: float) -> str:
    """Return a length in um, without its unit."""
    if math.isnan(length_um):
        return NOTHING
    return "∞" if math.isinf(length_um) else f"{length_um:.1f}"


def _title(compared: Compared) -> str:
    return f"How well {compared.model or 'the prediction'} agrees with what was drawn"


def _opening(figures: Figures, compared: Compared) -> Iterator[Markup]:
    yield tag("header", tag("h1", _title(compared)), tag("p", f"histomics-deeplab {__version__}"))
    on = counted(len(figures.scores), "slide")
    if len(figures.scores) == 1:
        on = figures.scores[0].name
    within = " within the regions given" if _has_regions(compared) else ""
    right = as_percent(figures.pooled("accuracy").value)
    yield tag(
        "p",
        f"On {on}{within}, what was predicted as {listed(figures.classes)} is compared with"
        f" what was drawn, the reference. The label is right on {right} of"
        f" {as_mm2(float(figures.mm2.sum()))} mm².",
        class_="lead",
    )
    cards = [_card("mean IoU, background included", figures.pooled("mean_iou"), None)]
    cards += [
        _card(f"Dice of {each.name}", figures.pooled("dice", each.name), each)
        for each in list(_classes(figures))[:MOST_CARDS]
    ]
    yield tag("div", cards, class_="cards")
    yield caveats("What limits these figures", limits(figures, compared))


def _card(words: str, of: Interval, each: SlideClass | None) -> Markup:
    inside = [tag("b", as_score(of.value)), tag("span", words)]
    if not math.isnan(of.low):
        inside.append(tag("span", f", {as_score(of.low)} to {as_score(of.high)}"))
    if each is None:
        return tag("div", *inside, class_="card")
    return tag("div", *inside, class_="card", style=f"border-top-color: {hex_colour(each.colour)}")


def _areas(figures: Figures) -> Iterator[Markup]:
    yield tag("h2", "How well the areas agree")
    yield tag(
        "p",
        "Every figure goes from 0 (never right) to 1 (always right). Dice and IoU compare the area"
        " that was drawn with the area that was predicted. Precision is the share of the predicted"
        " area that is right; recall is the share of the drawn area that was found. MCC is a"
        " correlation: 0 is what chance gives, below 0 is worse than that.",
        class_="note",
    )
    if len(figures.scores) > 1:
        yield tag(
            "p",
            "All slides together. The small numbers are intervals: drawing as many of these slides,"
            " again and again and with repetition, gives a figure between them in 95 of 100 draws.",
            class_="note",
        )
    metrics = ("dice", "iou", "precision", "recall", "mcc")
    mm2 = figures.mm2
    yield table(
        ["", "Dice", "IoU", "precision", "recall", "MCC", "drawn, mm²", "predicted, mm²"],
        [
            [
                swatch(each),
                *(_ranged(figures.pooled(metric, each.name)) for metric in metrics),
                as_mm2(float(mm2.sum(axis=1)[label])),
                as_mm2(float(mm2.sum(axis=0)[label])),
            ]
            for label, each in enumerate((NOTHING_DRAWN, *_classes(figures)))
        ],
    )
    words = {
        "mean IoU": "mean_iou",
        "IoU weighted by area (FwIoU)": "frequency_weighted_iou",
        "MCC of all classes at once": "multiclass_mcc",
    }
    yield described({name: as_interval(figures.pooled(key)) for name, key in words.items()})


def _mistakes(figures: Figures) -> Iterator[Markup]:
    yield tag("h2", "What is mistaken for what")
    names = (BACKGROUND, *figures.classes)
    confusion = Confusion.of(np.rint(figures.mm2 * 1e6))  # um2
    yield tag(
        "figure",
        image(
            confusion_png(confusion, ClassList.named(figures.classes)), "png", "confusion matrix"
        ),
        tag(
            "figcaption",
            "Of the area drawn as the class of a row, the share that was predicted as the class of"
            " each column. All on the diagonal would be perfect.",
        ),
        style="max-width: 640px",
    )
    yield tag(
        "details",
        tag("summary", "The same in mm²"),
        table(
            ["drawn \\ predicted", *names],
            [
                [name, *(as_mm2(area) for area in row)]
                for name, row in zip(names, figures.mm2.tolist(), strict=True)
            ],
        ),
    )


def _places(figures: Figures) -> Iterator[Markup]:
    shown = [
        (score, score.error_map) for score in _worst_first(figures) if score.error_map is not None
    ][:MOST_MAPS]
    if not shown:
        return
    yield tag("h2", "Where the errors are")
    yield tag("p", [tag("span", swatch(kind), class_="kind") for kind in KINDS], class_="note")
    maps = []
    for score, picture in shown:
        iou = as_score(figures.of_slide(score.name, "mean_iou"))
        said = f"{score.name}: mean IoU {iou}; {picture.width_mm:.3g} mm across"
        seen = image(picture.png, "png", f"where the errors are on {score.name}")
        maps.append(tag("figure", seen, tag("figcaption", said)))
    yield tag("div", maps, class_="maps")
    if len(figures.scores) > len(shown):
        yield tag("p", f"These are the worst {len(shown)} slides.", class_="note")


def _worst_first(figures: Figures) -> list[SlideScore]:
    return sorted(figures.scores, key=lambda score: figures.of_slide(score.name, "mean_iou"))


def _outlines(figures: Figures, compared: Compared) -> Iterator[Markup]:
    tolerance = f"{compared.request.border_um:g} µm"
    yield tag("h2", "How well the outlines agree")
    yield tag(
        "p",
        f"Precision is the share of the predicted outlines that runs within {tolerance} of a drawn"
        f" one, recall the share of the drawn outlines within {tolerance} of a predicted one, and"
        " F1 their mean. 95 % of the outlines are no farther from the other ones than the Hausdorff"
        " distance; something that was missed as a whole, or predicted where nothing is, makes it"
        " large. ∞: one of the two has no outline at all.",
        class_="note",
    )
    metrics = ("boundary_f1", "boundary_precision", "boundary_recall")
    yield table(
        ["", "F1", "precision", "recall", "95 % Hausdorff, µm", "mean distance, µm"],
        [
            [
                swatch(each),
                *(_ranged(figures.pooled(metric, each.name)) for metric in metrics),
                _ranged_um(figures.pooled("hausdorff_95_um", each.name)),
                _ranged_um(figures.pooled("mean_surface_distance_um", each.name)),
            ]
            for each in _classes(figures)
        ],
    )


def _objects(figures: Figures, compared: Compared) -> Iterator[Markup]:
    yield tag("h2", "How well single objects agree")
    yield tag(
        "p",
        f"An object counts as found where a predicted one covers it with an IoU above"
        f" {compared.request.min_iou:g}. F1 weighs what was missed and what was found too much;"
        " PQ is F1 times the mean IoU of the objects that were found; AJI and AJI+ compare the"
        " areas of all objects with their partners; object Dice weighs each object by its area."
        " For tissue that has no separate objects, read the areas above instead.",
        class_="note",
    )
    metrics = ["object_f1", "pq", "sq", "aji", "aji_plus", "object_dice"]
    head = ["", "drawn", "predicted", "found", "F1", "PQ", "SQ", "AJI", "AJI+", "object Dice"]
    if compared.request.centroid_um:
        metrics += ["centroid_f1", "type_f1"]
        head += ["F1 of centroids", "F1 of type"]
        yield tag(
            "p",
            f"F1 of centroids pairs objects whose middles are within"
            f" {compared.request.centroid_um:g} µm, whatever their outlines. For F1 of type"
            " they are paired whatever their class, and a pair of two classes counts against both.",
            class_="note",
        )
    counts = ("true_objects", "predicted_objects", "matched_objects")
    yield table(
        head,
        [
            [
                swatch(each),
                *(f"{figures.pooled(metric, each.name).value:,.0f}" for metric in counts),
                *(_ranged(figures.pooled(metric, each.name)) for metric in metrics),
            ]
            for each in _classes(figures)
        ],
    )
    if compared.request.centroid_um:
        words = {
            "F1 of centroids, whatever the class (F_d)": "centroid_f1",
            "share of these pairs whose classes agree": "type_accuracy",
            "PQ whatever the class": "binary_pq",
            "AJI whatever the class": "binary_aji",
            "AJI+ whatever the class": "binary_aji_plus",
            "mean over classes of PQ (mPQ)": "mpq",
        }
        yield described({name: as_interval(figures.pooled(key)) for name, key in words.items()})
        if len(figures.scores) > 1:
            means = {"bPQ": "bpq", "mPQ": "mpq"}
            yield tag("p", "As PanNuke counts them, as means over images:", class_="note")
            yield described({name: as_interval(figures.mean(key)) for name, key in means.items()})


def _slides(figures: Figures) -> Iterator[Markup]:
    if len(figures.scores) == 1:
        return
    yield tag("h2", "Slide by slide, the worst first")
    columns = [
        ("mean_iou", ""),
        *((metric, n) for metric in _of_slides(figures) for n in figures.classes),
    ]
    rows: list[list[Inside]] = [
        [
            score.name,
            *(_of_metric(metric, figures.of_slide(score.name, metric, n)) for metric, n in columns),
            as_mm2(float(score.mm2.sum())),
        ]
        for score in _worst_first(figures)
    ]
    mean: list[Inside] = [tag("b", "mean over slides")]
    for metric, name in columns:
        of = figures.mean(metric, name)
        mean.append(_ranged_um(of) if metric in DISTANCES else _ranged(of))
    heads = [SLIDE_COLUMNS[metric].format(name) for metric, name in columns]
    yield table(["slide", *heads, "judged, mm²"], [*rows, [*mean, ""]])
    yield tag(
        "p",
        "In the mean each slide counts the same, whatever is on it; all slides together, as above,"
        " each area, outline or object counts the same. The table (CSV) has all figures of each"
        " slide.",
        class_="note",
    )


def _of_slides(figures: Figures) -> list[str]:
    """Return what is shown of each class on each slide: a page has room for so many columns."""
    shown = ["dice", "hausdorff_95_um", "object_f1"]
    return shown if len(figures.classes) <= MOST_CLASSES else shown[:1]


def _of_metric(metric: str, value: float) -> str:
    return as_um(value) if metric in DISTANCES else as_score(value)


def _origin(figures: Figures, compared: Compared) -> Iterator[Markup]:
    yield tag("h2", "What was compared")
    request = compared.request
    scales = sorted({f"{score.work_mpp:.3g}" for score in figures.scores})
    yield described(
        {
            "reference": ", ".join(request.reference_layers)
            or "what was drawn or given as reference",
            "prediction": ", ".join(request.prediction_layers)
            or compared.model
            or Path(request.prediction).name
            or "layers made by a task",
            "slides": ", ".join(score.name for score in figures.scores),
            "classes, a later one over the earlier": ", ".join(figures.classes),
            "not judged": f"under the layer {request.ignore_class}"
            if request.ignore_class
            else NOTHING,
            "judged": _where(compared),
            "µm per pixel of the comparison": ", ".join(scales),
        }
    )
    if compared.left_out:
        yield tag("h3", f"Left out: {counted(len(compared.left_out), 'slide')}")
        yield table(["slide", "why"], compared.left_out.items(), words=2)


def _where(compared: Compared) -> str:
    places = []
    if compared.request.region_layer:
        places.append(f"within the shapes of the layer {compared.request.region_layer}")
    if compared.request.regions:
        places.append("within the region asked for")
    return " and ".join(places) or "everywhere"


def _has_regions(compared: Compared) -> bool:
    return bool(compared.request.region_layer or compared.request.regions)


def _classes(figures: Figures) -> ClassList:
    return ClassList.named(figures.classes)


def _ranged(of: Interval) -> Markup:
    if math.isnan(of.low):
        return joined(as_score(of.value))
    return _with_range(as_score(of.value), as_score(of.low), as_score(of.high))


def _ranged_um(of: Interval) -> Markup:
    if math.isnan(of.low):
        return joined(as_um(of.value))
    return _with_range(as_um(of.value), as_um(of.low), as_um(of.high))


def _with_range(value: str, low: str, high: str) -> Markup:
    return joined(value, tag("span", f"{low}–{high}", class_="range"))
