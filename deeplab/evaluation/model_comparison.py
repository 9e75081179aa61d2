"""The flow of a comparison of models: two tables of figures in, differences with intervals out.

Slides differ more from each other than models do, so it is the differences on each slide that are
averaged, and slides that are drawn again (Efron 1979) for the interval of that mean.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deeplab.config.compare_request import CompareRequest
from deeplab.errors import SourceError
from deeplab.evaluation.bootstrap import Interval, Resampling, interval_of_slides
from deeplab.evaluation.figures import COLUMNS, COUNTS, DISTANCES, SLIDE, number_cell
from deeplab.files import check_spared, check_writable, whole_file
from deeplab.report.cells import safe_cell
from deeplab.report.words import as_score, counted, listed

MOST_BYTES = 1 << 28  # of a table: some million figures
SHOWN = ("dice", "boundary_f1", "pq")  # to a person; the table has all
NOT_COMPARED = {*COUNTS, *DISTANCES, "area_mm2"}  # which are no shares, of which more is better
UNLIKE = "were held against different references, or by other rules"
HEADER = ("class", "metric", "slides", "old", "new", "difference", "low", "high")
Key = tuple[str, str]  # class and metric
Values = Mapping[Key, Mapping[str, float]]  # the figures of each slide


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much larger a figure is with the new model, on average over slides.

    Attributes:
        class_name: "": of all classes.
        metric: as the table calls it.
        slides: number of those on which both models have the figure.
        old: its mean over these slides with the old model.
        new: with the new one.
        change: mean of the differences, with the interval of 95 %.
    """

    class_name: str
    metric: str
    slides: int
    old: float
    new: float
    change: Interval

    @property
    def verdict(self) -> str:
        """What can be said of it, in a few words."""
        if math.isnan(self.change.low):
            return "too few slides to tell"
        if self.change.low > 0:
            return "better"
        return "worse" if self.change.high < 0 else "no difference that these slides show"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came out of a comparison of models.

    Attributes:
        differences: of each class and figure that both tables have.
        slides: names of those that both were evaluated on.
        left_out: names of those that only one was evaluated on.
        unlike: names of those on which they were held against different references.
    """

    differences: tuple[Difference, ...]
    slides: tuple[str, ...]
    left_out: tuple[str, ...]
    unlike: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"{counted(len(self.slides), 'slide')} that both models were evaluated on"
        if self.left_out:
            yield f"not compared, as only one table has them: {listed(self.left_out)}"
        if self.unlike:
            yield f"not compared, as the two {UNLIKE}: {listed(self.unlike)}"
        for each in self.differences:
            if each.class_name and each.metric in SHOWN:
                low, high = (_signed(bound) for bound in (each.change.low, each.change.high))
                interval = "" if math.isnan(each.change.low) else f" ({low} to {high})"
                yield (
                    f"  {each.class_name}, {each.metric}: {as_score(each.old)} and now"
                    f" {as_score(each.new)}, {_signed(each.change.value)}{interval}: {each.verdict}"
                )


@dataclass(frozen=True, slots=True)
class _Table:
    """Figures of slides, and the digest of what each was held against: "" in an older table."""

    values: Values
    references: Mapping[str, str]

    @property
    def slides(self) -> set[str]:
        """Names of those that have a figure."""
        return set(self.references)

    def is_like(self, other: _Table, slide: str) -> bool:
        """Return whether nothing says that both hold a slide against different references."""
        own, others = self.references[slide], other.references[slide]
        return own == others or not (own and others)


def compare(request: CompareRequest) -> Comparison:
    """Compare two models by their tables, and write what is asked for.

    Raises:
        SourceError: a file is no table of figures, or the two have no slide, no reference or no
            figure in common.
        ConfigError: the result would take the place of a table.
        OutputError: it cannot be written.
    """
    if request.output_table:
        check_writable(request.output_table)
        check_spared([request.output_table], [request.old, request.new])
    old, new = _read(request.old), _read(request.new)
    both = old.slides & new.slides
    if not both:
        raise SourceError(f"{request.old} and {request.new} are of different slides")
    unlike = {slide for slide in both if not old.is_like(new, slide)}
    if unlike == both:
        raise SourceError(f"{request.old} and {request.new} {UNLIKE}; evaluate both anew")
    differences = tuple(_differences(old.values, new.values, both - unlike))
    if not differences:
        raise SourceError(f"{request.old} and {request.new} are of different classes")
    comparison = Comparison(
        differences=differences,
        slides=tuple(sorted(both - unlike)),
        left_out=tuple(sorted(old.slides ^ new.slides)),
        unlike=tuple(sorted(unlike)),
    )
    if request.output_table:
        _write(request.output_table, comparison)
    return comparison


def _read(path: Path) -> _Table:
    """Return the figures of each slide in a table, without those that are not known."""
    found: dict[Key, dict[str, float]] = {}
    references: dict[str, str] = {}
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SourceError(f"{path} is larger than a table of figures can be here")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not set(COLUMNS) <= set(rows.fieldnames or ()):
                raise SourceError(f"{path} is not a table that evaluate wrote")
            for row in rows:
                if row["level"] != SLIDE or row["predicted_as"] or row["metric"] in NOT_COMPARED:
                    continue
                if math.isfinite(value := float(row["value"] or "nan")):
                    found.setdefault((row["class"], row["metric"]), {})[row["slide"]] = value
                    references[row["slide"]] = row.get("reference") or ""
    except FileNotFoundError as error:
        raise SourceError(f"there is no file {path}") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise SourceError(f"{path} is not a table that evaluate wrote") from error
    return _Table(found, references)


def _differences(old: Values, new: Values, among: Collection[str]) -> Iterator[Difference]:
    for key, of_old in old.items():
        of_new = new.get(key, {})
        slides = [slide for slide in of_old if slide in of_new and slide in among]
        if slides:
            before = np.array([of_old[slide] for slide in slides])
            after = np.array([of_new[slide] for slide in slides])
            yield Difference(
                class_name=key[0],
                metric=key[1],
                slides=len(slides),
                old=float(before.mean()),
                new=float(after.mean()),
                change=interval_of_slides(after - before, Resampling()),
            )


def _write(path: Path, comparison: Comparison) -> None:
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(HEADER)
        for each in comparison.differences:
            change = each.change
            numbers = (each.old, each.new, change.value, change.low, change.high)
            cells = map(number_cell, numbers)
            rows.writerow((safe_cell(each.class_name), each.metric, each.slides, *cells))


def _signed(value: float) -> str:
    return f"{value:+.3f}"
