"""One page about measured objects that a pathologist can read; it needs no other file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from deeplab import __version__
from deeplab.config.classes import Rgb, SlideClass
from deeplab.config.features_request import FeaturesRequest
from deeplab.exchange.samples import LeftOut
from deeplab.features.charts import boxes_png, histograms_png, scatter_png
from deeplab.features.figures import (
    DRAWN,
    FIGURES,
    ReportedFeature,
    Spread,
    finite,
    intensity_figure,
    measured_figures,
)
from deeplab.features.gallery import GalleryObject, chosen
from deeplab.features.slide_labels import SlideLabels
from deeplab.features.slide_measures import SlideMeasures, channels_of, class_names, pooled
from deeplab.features.windows import MAX_PIXELS
from deeplab.report.page import Inside, caveats, image, page, table, tag, write_page
from deeplab.report.style import STYLE
from deeplab.report.words import NOTHING, as_mm2, as_percent, counted, described, listed, swatch

MOST_GROUPS = 20  # boxes one under the other
MOST_KINDS = 8  # values of a label that make groups
MOST_LABELS = 3  # columns of labels in the table of slides
BOXED = ("area_um2", "circularity", "haematoxylin_mean")  # beside each other
STAININGS = {"he": "haematoxylin and eosin", "pas": "PAS and haematoxylin"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesReportFacts:
    """What a report tells; `finished` is the date in words."""

    request: FeaturesRequest
    slides: Sequence[SlideMeasures]
    left_out: Sequence[LeftOut]
    remarks: Sequence[str]
    labels: SlideLabels
    finished: str


def write_report(path: Path, facts: FeaturesReportFacts) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_page(path, report(facts))


def report(facts: FeaturesReportFacts) -> str:
    """Return the page as text."""
    names = class_names(facts.slides)
    sections = [
        _opening(facts, names),
        *(_class(facts, name) for name in names),
        _together(facts, names),
        _slides(facts),
        _method(facts),
    ]
    return page(_title(facts), STYLE, *(list(each) for each in sections))


def _title(facts: FeaturesReportFacts) -> str:
    names = [slide.name for slide in facts.slides]
    return (
        f"Measurements of {names[0]}"
        if len(names) == 1
        else (f"Measurements of {counted(len(names), 'slide')}")
    )


def _opening(facts: FeaturesReportFacts, names: Sequence[str]) -> Iterator[Markup]:
    yield tag("header", tag("h1", _title(facts)), tag("p", f"histomics-deeplab · {facts.finished}"))
    totals = {name: sum(slide.count(name) for slide in facts.slides) for name in names}
    said = listed([f"{count:,} of {name}" for name, count in totals.items()])
    on = counted(len(facts.slides), "slide")
    yield tag("p", f"Outlined objects that were measured on {on}: {said}.", class_="lead")
    yield tag("div", [_card(facts, name) for name in names[:6]], class_="cards")
    left_out = [f"{each.name} is left out: {each.why}." for each in facts.left_out]
    yield caveats("Mind", [*left_out, *(f"{remark}." for remark in facts.remarks)])


def _card(facts: FeaturesReportFacts, name: str) -> Markup:
    areas = finite(pooled(facts.slides, name, "area_um2"))
    colour = _colour(facts, name)
    middle = shown(float(np.median(areas))) if areas.size else NOTHING
    return tag(
        "div",
        tag("b", f"{len(areas):,}"),
        tag("span", f"{name}; half of them larger than {middle} µm²"),
        class_="card",
        style=f"border-top-color: rgb{colour}",
    )


def _class(facts: FeaturesReportFacts, name: str) -> Iterator[Markup]:
    colour = _colour(facts, name)
    yield tag("h2", swatch(SlideClass(name, colour)))
    figures = measured_figures(facts.slides, name)
    if not figures:
        yield tag("p", "No object of this class was outlined.")
        return
    yield _spreads(figures)
    columns = {*DRAWN, *(intensity_figure(c).column for c in channels_of(facts.slides))}
    drawn = {each: values for each, values in figures.items() if each.column in columns}
    yield tag(
        "figure",
        image(histograms_png(drawn, colour), "png", f"histograms of {name}"),
        tag(
            "figcaption",
            "How many objects have which value; the dashed line is the median. Where values "
            "spread very far each mark of the scale is ten times the one before; else the last "
            "bar also holds the 1 % beyond it.",
        ),
    )
    yield from _groups(facts, name, colour)
    yield from _gallery(facts, name, figures)


def _spreads(figures: Mapping[ReportedFeature, NDArray[np.float64]]) -> Markup:
    rows = []
    for figure, values in figures.items():
        spread = Spread.of(values)
        rows.append(
            [
                figure.label,
                shown(spread.median),
                f"{shown(spread.lower)} to {shown(spread.upper)}",
                f"{shown(spread.least)} to {shown(spread.most)}",
                f"{spread.count:,}",
            ]
        )
    return table(["", "median", "middle half", "smallest to largest", "objects"], rows)


def _groups(facts: FeaturesReportFacts, name: str, colour: Rgb) -> Iterator[Markup]:
    by, groups = _grouped(facts, name)
    if len(groups) < 2:
        return
    found: dict[str, dict[ReportedFeature, NDArray[np.float64]]] = {}
    for group, slides in groups.items():
        boxed = (each for each in FIGURES if each.column in BOXED)
        some = (*boxed, *map(intensity_figure, channels_of(facts.slides)))
        values = {each: finite(pooled(slides, name, each.column)) for each in some}
        found[group] = {each: numbers for each, numbers in values.items() if numbers.size}
    yield tag("h3", f"By {by}")
    yield tag(
        "figure",
        image(boxes_png(found, colour), "png", f"{name} by {by}"),
        tag(
            "figcaption",
            "A box holds the middle half of the objects, its line is the median; the lines beside "
            "it reach to the farthest value within one and a half times its length. In brackets: "
            "objects.",
        ),
    )


def _grouped(facts: FeaturesReportFacts, name: str) -> tuple[str, dict[str, list[SlideMeasures]]]:
    """Return what the objects are grouped by, and the slides of each group that have the class."""
    slides = [slide for slide in facts.slides if slide.count(name)]
    for place, column in enumerate(facts.labels.columns):
        groups: dict[str, list[SlideMeasures]] = {}
        for slide in slides:
            row = facts.labels.of(slide.name)
            value = row[place] if row else None
            if value is not None:
                text = shown(value) if isinstance(value, float) else value
                groups.setdefault(text, []).append(slide)
        if 2 <= len(groups) <= MOST_KINDS:
            return column, dict(sorted(groups.items()))
    most = sorted(slides, key=lambda slide: -slide.count(name))[:MOST_GROUPS]
    kept = [slide for slide in slides if slide in most]
    words = "slide" if len(kept) == len(slides) else f"slide ({len(kept)} with the most objects)"
    return words, {slide.name: [slide] for slide in kept}


def _gallery(
    facts: FeaturesReportFacts, name: str, figures: Mapping[ReportedFeature, NDArray[np.float64]]
) -> Iterator[Markup]:
    some = [picture for slide in facts.slides for picture in slide.pictures.get(name, ())]
    areas = next(values for figure, values in figures.items() if figure.column == "area_um2")
    found = chosen(some, float(np.median(areas)))
    if found:
        yield tag("h3", "What they look like")
        yield tag("div", [_picture(words, each) for words, each in found.items()], class_="gallery")


def _picture(words: str, picture: GalleryObject) -> Markup:
    told = (
        f"{picture.slide}, object {picture.number}, at ({picture.x_level0:,.0f}, "
        f"{picture.y_level0:,.0f}); the picture is {shown(picture.side_um)} µm wide"
    )
    return tag(
        "figure",
        image(picture.jpeg, "jpeg", f"{words} object"),
        tag(
            "figcaption",
            tag("b", f"{words.capitalize()}: {shown(picture.area_um2)} µm²"),
            tag("br"),
            told,
        ),
    )


def _together(facts: FeaturesReportFacts, names: Sequence[str]) -> Iterator[Markup]:
    x, y = (each for each in FIGURES if each.column in ("area_um2", "circularity"))
    classes = {}
    for name in names:
        points = np.column_stack([pooled(facts.slides, name, each.column) for each in (x, y)])
        points = points[np.isfinite(points).all(axis=1) & (points[:, 0] > 0)]
        if len(points) > 1:
            classes[name] = (points, _colour(facts, name))
    if classes:
        yield tag("h2", "Size and roundness")
        yield tag(
            "figure",
            image(scatter_png(x, y, classes), "png", "area and circularity of each object"),
            tag("figcaption", "Each dot is an object."),
        )


def _slides(facts: FeaturesReportFacts) -> Iterator[Markup]:
    yield tag("h2", "Slide by slide")
    columns = facts.labels.columns[:MOST_LABELS]
    head = ["slide", "class", *columns, "objects", "area, mm²", "tissue, mm²"]
    head += ["share of the tissue", "objects per mm² of tissue"]
    rows: list[list[Inside]] = []
    for slide in facts.slides:
        known = facts.labels.of(slide.name) or [None] * len(columns)
        told = [shown(each) if isinstance(each, float) else each or NOTHING for each in known]
        rows += [
            [
                slide.name,
                each.class_name,
                *told[: len(columns)],
                f"{each.count:,}",
                as_mm2(each.total_area_mm2),
                as_mm2(each.tissue_area_mm2),
                as_percent(each.share_of_tissue),
                shown(each.density_per_mm2),
            ]
            for each in slide.summaries
        ]
    yield table(head, rows, words=2 + len(columns))
    yield tag(
        "p",
        "Tissue is what is not glass on a thumbnail of the slide, with a rim of about 16 µm; it "
        "holds all tissue of the slide, not that of one organ or compartment.",
        class_="note",
    )


def _method(facts: FeaturesReportFacts) -> Iterator[Markup]:
    request = facts.request
    yield tag("h2", "How it was measured")
    told = {
        "outlines": "lengths and areas are those of the outlines themselves, in µm; holes are "
        "not part of an object",
        "neighbours": "distances are from edge to edge; objects that touch are 0 µm apart",
        "programme": f"histomics-deeplab {__version__}, with HistomicsTK 1.4",
    }
    if not request.api_url:  # there it is an id, which tells nobody anything
        told["source"] = request.source
    if request.pixels == "auto":
        side = math.sqrt(MAX_PIXELS) * request.work_mpp
        told["pixels"] = (
            f"read at {request.work_mpp:g} µm per pixel; objects larger than about {side:,.0f} × "
            f"{side:,.0f} µm are read coarser, and nuclei are not sought above 1 µm per pixel"
        )
        told["stains"] = (
            f"{STAININGS[request.staining]}, parted by colour deconvolution; how dark they are "
            "also depends on the laboratory and the scanner"
        )
        told["nuclei"] = (
            "sought by their haematoxylin; nuclei that touch may count as one, so compare counts "
            "with each other and not with those of another method"
        )
    yield described(told)
    yield tag(
        "p",
        "These are measurements of outlines that a person or a model drew; they are as good as "
        "the outlines. Not for diagnosis.",
    )


def _colour(facts: FeaturesReportFacts, name: str) -> Rgb:
    return next(slide.colours[name] for slide in facts.slides if name in slide.colours)


def shown(value: float) -> str:
    """Return a number with three digits that say something."""
    if math.isnan(value):
        return NOTHING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value != round(value) else f"{value:.0f}"
