"""What the trainings of all folds came to: lines, a table and a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from deeplab.config.classes import ClassList
from deeplab.config.train_request import Keep
from deeplab.evaluation.tally import Tally
from deeplab.files import whole_file
from deeplab.report.page import Inside, page, table, tag, write_page
from deeplab.report.style import STYLE
from deeplab.report.words import NOTHING, as_score, counted
from deeplab.training.validation.gain import Gain, PatientFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFacts:
    """One fold.

    Attributes:
        slides: that were held out and judged.
        steps: that its model learnt.
        figures: of its model on the patients of the fold.
        without: of the same training without its companion; None: that was not asked for.
    """

    slides: int
    steps: int
    figures: PatientFigures
    without: Tally | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsReport:
    """All folds.

    Attributes:
        model: name of the model that was written.
        classes: that it tells apart.
        folds: 1, 2, ...
        figures: of all patients, each judged by the model that had not learnt from it.
        gain: over the same trainings without their companion; None: that was not asked for.
        keep: which of its validations each model is of.
    """

    model: str
    classes: ClassList
    folds: tuple[FoldFacts, ...]
    figures: PatientFigures
    gain: Gain | None
    keep: Keep

    @property
    def spread(self) -> tuple[float, float]:
        """Mean and standard deviation of the folds' scores."""
        scores = np.array([fold.figures.pooled.score for fold in self.folds])
        known = scores[~np.isnan(scores)]
        mean = float(known.mean()) if known.size else math.nan
        return mean, float(known.std(ddof=1)) if known.size > 1 else math.nan

    def lines(self) -> list[str]:
        """Return the most important figures as lines of text."""
        pooled = self.figures.pooled
        lines = [
            f"  fold {number}: {pooled.score_name} {fold.figures.pooled.score:.4f} on "
            f"{counted(fold.slides, 'slide')} of {counted(len(fold.figures.tallies), 'patient')}"
            for number, fold in enumerate(self.folds, start=1)
        ]
        bounds = _in_brackets(self.figures.bounds)
        lines.append(f"  all folds: {pooled.score_name} {pooled.score:.4f}{bounds}")
        lines += [
            f"  {each.name} {each.of}: {each.value:.4f}{_in_brackets(each.bounds)}"
            for each in usual_figures(self.figures, self.classes)
            if not math.isnan(each.value)
        ]
        lines += [
            f"  {pooled.class_score_name} {name}: {value:.4f}"
            for name, value in zip(self.classes.names, pooled.class_scores.tolist(), strict=True)
            if not math.isnan(value)
        ]
        return [*lines, f"  {self.gain.sentence()}"] if self.gain else lines


class UsualFigure(NamedTuple):
    """A figure of a class by which such models are usually compared.

    Attributes:
        name: of the figure.
        of: name of the class.
        value: of all patients together; NaN: it is not defined.
        bounds: in 95 of 100 draws of the patients; None of fewer than three.
    """

    name: str
    of: str
    value: float
    bounds: tuple[float, float] | None


def usual_figures(figures: PatientFigures, classes: ClassList) -> Iterator[UsualFigure]:
    """Yield these figures, class by class."""
    for name, values in figures.pooled.usual_figures.items():
        for place, (of, value) in enumerate(zip(classes.names, values.tolist(), strict=True)):
            yield UsualFigure(name, of, value, figures.bounds_of(name, place))


def _in_brackets(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f" ({bounds[0]:.4f} to {bounds[1]:.4f})"


def write_folds(report: FoldsReport, path: Path | None, table_path: Path) -> None:
    """Write the table, and the page where there is a path for it.

    Raises:
        OutputError: a file cannot be written.
    """
    with whole_file(table_path) as draft:
        draft.write_text(_csv(report), encoding="utf-8")
    if path:
        write_page(path, folds_page(report))


def folds_page(report: FoldsReport) -> str:
    """Return the page as text."""
    return page(f"Folds of {report.model}", STYLE, list(_sections(report)))


def _sections(report: FoldsReport) -> Iterator[Markup]:
    pooled, count = report.figures.pooled, len(report.folds)
    yield tag("header", tag("h1", f"Folds of {report.model}"), tag("p", "histomics-deeplab"))
    yield tag(
        "p",
        f"{counted(len(report.figures.tallies), 'patient')} were dealt out to {count} folds. For "
        "each fold a model learnt from the patients of all others and was judged on those of the "
        "fold, so that every patient is judged once, by a model that has not seen it.",
        class_="lead",
    )
    yield tag("h2", "How good the models are on patients that they have not seen")
    yield table(_head(report), _rows(report, dash=NOTHING), words=1)
    mean, deviation = report.spread
    yield tag(
        "p",
        f"The mean of the folds' {pooled.score_name} is {as_score(mean)}, their standard deviation "
        f"{as_score(deviation)}. “All” is made of what was counted on all patients together; its "
        "range holds the figure of 95 of 100 draws of as many patients, as that of a fold does of "
        f"its own. {_on_the_choice(report)}They are those of the single models, not of what is "
        "made of them.",
        class_="note",
    )
    if report.gain:
        yield tag("h2", "What the companion gains")
        yield tag("p", f"Pooled, {report.gain.sentence()}.")


def _on_the_choice(report: FoldsReport) -> str:
    """Return in what way figures flatter, as sentences with a blank behind them."""
    said = ""
    if report.keep == "best":
        said = (
            "The best of several validations is kept in each fold: figures are a little too good. "
        )
    if report.figures.pooled.kind == "patch":
        said += "F1 is at the threshold that is best on the very patches judged. "
    return said


def _head(report: FoldsReport) -> list[str]:
    pooled = report.figures.pooled
    head = ["fold", "patients", "slides", "steps", pooled.score_name, "from", "to"]
    head += [f"{pooled.class_score_name} {name}" for name in report.classes.names]
    for figure in pooled.usual_figures:
        for name in report.classes.names:
            head += [f"{figure} {name}", "from", "to"]
    return [*head, f"{pooled.score_name} without companion"] if report.gain else head


def _rows(report: FoldsReport, *, dash: str) -> list[list[str]]:
    rows = [
        _row(report, str(number), fold.figures, fold.slides, str(fold.steps), fold.without, dash)
        for number, fold in enumerate(report.folds, start=1)
    ]
    slides = sum(fold.slides for fold in report.folds)
    rows.append(_row(report, "all", report.figures, slides, dash, None, dash))
    if report.gain:
        rows[-1][-1] = as_score(report.gain.other)
    return rows


def _row(
    report: FoldsReport,
    name: str,
    figures: PatientFigures,
    slides: int,
    steps: str,
    without: Tally | None,
    dash: str,
) -> list[str]:
    pooled = figures.pooled
    row = [name, str(len(figures.tallies)), str(slides), steps, as_score(pooled.score)]
    row += _ends(figures.bounds, dash)
    row += [as_score(value) for value in pooled.class_scores.tolist()]
    for each in usual_figures(figures, report.classes):
        row += [as_score(each.value), *_ends(each.bounds, dash)]
    if report.gain:
        row.append(dash if without is None else as_score(without.score))
    return row


def _ends(bounds: tuple[float, float] | None, dash: str) -> list[str]:
    return [dash, dash] if bounds is None else [as_score(bound) for bound in bounds]


def _csv(report: FoldsReport) -> str:
    text = io.StringIO()
    rows: Sequence[Sequence[Inside]] = [_head(report), *_rows(report, dash="")]
    csv.writer(text).writerows(rows)
    return text.getvalue()
