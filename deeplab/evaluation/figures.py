"""All figures of an evaluation: of each slide, the mean over slides, and pooled, with intervals."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.config.evaluate_request import BACKGROUND
from deeplab.evaluation.bootstrap import (
    Interval,
    Resampling,
    interval_of_slides,
    intervals_of_pooled,
)
from deeplab.evaluation.distance_tally import (
    BorderTally,
    DistanceTally,
    border_figures,
)
from deeplab.evaluation.instances import Detection, InstanceSums, mean_quality
from deeplab.evaluation.semantic import Confusion
from deeplab.evaluation.slide_score import Identity, SlideScore, UntypedObjects
from deeplab.evaluation.type_confusion import TypeConfusion
from deeplab.files import whole_file
from deeplab.report.cells import safe_cell

COLUMNS = ("level", "slide", "class", "predicted_as", "metric", "value", "low", "high")
IDENTITY = ("item", "reference", "model")  # further columns, as `Identity` has them
OF_LABELS = ("dice", "iou", "precision", "recall", "mcc")
OF_ALL = ("accuracy", "mean_iou", "frequency_weighted_iou", "multiclass_mcc")
OF_BORDERS = ("boundary_precision", "boundary_recall", "boundary_f1")
DISTANCES = ("hausdorff_95_um", "mean_surface_distance_um")
COUNTS = ("true_objects", "predicted_objects", "matched_objects")
OF_OBJECTS: dict[str, Callable[[InstanceSums], float]] = {
    "object_precision": lambda of: of.precision,
    "object_recall": lambda of: of.recall,
    "object_f1": lambda of: of.f1,
    "sq": lambda of: of.segmentation_quality,
    "pq": lambda of: of.panoptic_quality,
    "aji": lambda of: of.aji,
    "aji_plus": lambda of: of.aji_plus,
    "object_dice": lambda of: of.object_dice,
}
OF_NUCLEI: dict[str, Callable[[InstanceSums], float]] = {  # whatever their class
    **{f"binary_{metric}": figure for metric, figure in OF_OBJECTS.items()},
    "bpq": lambda of: of.pannuke_quality,
}
SLIDE, MEAN, POOLED = "slide", "mean", "pooled"
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure; `low` and `high` of the interval are NaN where there is none."""

    level: str
    metric: str
    interval: Interval
    class_name: str = ""
    slide: str = ""
    predicted_as: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of the table; what is not known is empty."""
        numbers = (self.interval.value, self.interval.low, self.interval.high)
        cells = map(number_cell, numbers)
        names = map(safe_cell, (self.slide, self.class_name, self.predicted_as))
        return self.level, *names, self.metric, *cells


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All figures of some slides, which are of the same classes."""

    scores: tuple[SlideScore, ...]
    border_um: float
    all_figures: tuple[Figure, ...] = field(init=False)
    _found: dict[tuple[str, str, str, str], Interval] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        figures = tuple(_figures(self.scores, self.border_um))
        found = {
            (each.level, each.metric, each.class_name, each.slide): each.interval
            for each in figures
            if not each.predicted_as
        }
        object.__setattr__(self, "all_figures", figures)
        object.__setattr__(self, "_found", found)

    @property
    def classes(self) -> tuple[str, ...]:
        """Of all slides."""
        return self.scores[0].classes

    @property
    def mm2(self) -> Values:
        """Area by true and predicted label on all slides, mm2."""
        return np.asarray(np.sum([score.mm2 for score in self.scores], axis=0))

    def pooled(self, metric: str, class_name: str = "") -> Interval:
        """Return the figure of all slides together; `class_name` "" is of all classes."""
        return self._found[POOLED, metric, class_name, ""]

    def mean(self, metric: str, class_name: str = "") -> Interval:
        """Return the mean over slides."""
        return self._found[MEAN, metric, class_name, ""]

    def of_slide(self, slide: str, metric: str, class_name: str = "") -> float:
        """Return the figure of one slide."""
        return self._found[SLIDE, metric, class_name, slide].value


def number_cell(number: float) -> str:
    """Return a number as a cell of a table; what is not known is empty."""
    return "" if np.isnan(number) else f"{number:.10g}"


def write_table(path: Path, figures: Figures) -> None:
    """A CSV with one row a figure; see docs/reference/metrics.md for what each is.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow((*COLUMNS, *IDENTITY))
        of_slides = {score.name: astuple(score.identity) for score in figures.scores}
        nothing = astuple(Identity())  # what is of several slides
        rows.writerows(
            (*figure.row, *of_slides.get(figure.slide, nothing)) for figure in figures.all_figures
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """Figures that are made of one kind of sums.

    Attributes:
        rows: of each slide, to be summed.
        keys: class and metric of each figure.
        statistic: the figures of one row or of a sum.
    """

    rows: Values
    keys: tuple[tuple[str, str], ...]
    statistic: Callable[[Values], Values]


def _figures(scores: Sequence[SlideScore], border_um: float) -> Iterator[Figure]:
    for part in _parts(scores, border_um):
        by_slide = np.array([part.statistic(row) for row in part.rows])
        pooled = intervals_of_pooled(part.rows, Resampling(), part.statistic)
        for (name, metric), values, together in zip(part.keys, by_slide.T, pooled, strict=True):
            yield from _levels(scores, name, metric, values, together)
    for place, name in enumerate(scores[0].classes):
        yield from _distances([score.borders[place] for score in scores], scores, name)
    names = (BACKGROUND, *scores[0].classes)
    totals = [(SLIDE, score.name, score.mm2) for score in scores]
    for level, slide, mm2 in (*totals, (POOLED, "", np.sum([each[2] for each in totals], axis=0))):
        for (row, column), area in np.ndenumerate(mm2):
            yield Figure(
                level=level,
                slide=slide,
                class_name=names[row],
                predicted_as=names[column],
                metric="area_mm2",
                interval=_plain(float(area)),
            )


def _levels(
    scores: Sequence[SlideScore], name: str, metric: str, values: Values, pooled: Interval
) -> Iterator[Figure]:
    for score, value in zip(scores, values.tolist(), strict=True):
        yield Figure(
            level=SLIDE, slide=score.name, class_name=name, metric=metric, interval=_plain(value)
        )
    if metric not in COUNTS:  # the mean of a count is no figure of agreement
        mean = interval_of_slides(values, Resampling())
        yield Figure(level=MEAN, class_name=name, metric=metric, interval=mean)
        yield Figure(level=POOLED, class_name=name, metric=metric, interval=pooled)
    else:
        yield Figure(level=POOLED, class_name=name, metric=metric, interval=_plain(pooled.value))


def _plain(value: float) -> Interval:
    return Interval(value, float("nan"), float("nan"))


def _parts(scores: Sequence[SlideScore], border_um: float) -> Iterator[_Part]:
    classes = scores[0].classes
    yield _of_pixels(scores)
    for place, name in enumerate(classes):
        rows = np.array([score.borders[place].row(border_um) for score in scores])
        yield _Part(rows, tuple((name, metric) for metric in OF_BORDERS), border_figures)
    objects = np.array([[each.row for each in score.objects] for score in scores])
    yield _of_objects("", objects.sum(axis=1))
    yield _Part(objects, (("", "mpq"),), lambda rows: np.array([_mean_quality(rows)]))
    for place, name in enumerate(classes):
        yield _of_objects(name, objects[:, place])
    found = [score.centroids for score in scores if score.centroids is not None]
    if found:  # of all slides or of none
        centroids = np.array([[each.row for each in of_slide] for of_slide in found])
        for place, name in enumerate(classes):
            yield _Part(
                centroids[:, place], ((name, "centroid_f1"),), lambda row: np.array([_f_d(row)])
            )
    nuclei = [score.nuclei for score in scores if score.nuclei is not None]
    if nuclei:  # of all slides or of none
        yield from _of_nuclei(nuclei, classes)


def _of_nuclei(nuclei: Sequence[UntypedObjects], classes: Sequence[str]) -> Iterator[_Part]:
    """Figures of objects whatever their class, and of their types."""

    def agreement(row: Values) -> Values:
        of = InstanceSums.of_row(row)
        return np.array([figure(of) for figure in OF_NUCLEI.values()])

    def types(counts: Values) -> Values:
        of = TypeConfusion(counts)
        return np.array([of.detection_f1, of.accuracy, *of.f1_by_type])

    rows = np.array([each.agreement.row for each in nuclei])
    yield _Part(rows, tuple(("", metric) for metric in OF_NUCLEI), agreement)
    keys = (("", "centroid_f1"), ("", "type_accuracy"), *((name, "type_f1") for name in classes))
    yield _Part(np.array([each.types.counts for each in nuclei]), keys, types)


def _of_pixels(scores: Sequence[SlideScore]) -> _Part:
    """Return pixels of slides that were judged at different scales count by their area."""
    names, finest = (BACKGROUND, *scores[0].classes), min(score.work_mpp for score in scores)
    rows = [np.rint(score.confusion.counts * (score.work_mpp / finest) ** 2) for score in scores]
    keys = [(name, metric) for metric in OF_LABELS for name in names]
    keys += [("", metric) for metric in OF_ALL]

    def statistic(row: Values) -> Values:
        of = Confusion.of(row)
        own = np.concatenate([getattr(of, metric) for metric in OF_LABELS])
        return np.concatenate([own, [getattr(of, metric) for metric in OF_ALL]])

    return _Part(np.array(rows), tuple(keys), statistic)


def _of_objects(name: str, rows: Values) -> _Part:
    def statistic(row: Values) -> Values:
        of = InstanceSums.of_row(row)
        return np.array([*row[:3], *(figure(of) for figure in OF_OBJECTS.values())])

    return _Part(rows, tuple((name, metric) for metric in (*COUNTS, *OF_OBJECTS)), statistic)


def _mean_quality(rows: Values) -> float:
    return mean_quality([InstanceSums.of_row(row) for row in rows])


def _f_d(row: Values) -> float:
    return Detection.of_row(row).f1


def _distances(
    borders: Sequence[BorderTally], scores: Sequence[SlideScore], name: str
) -> Iterator[Figure]:
    """Distances do not add up as counts do: all borders are put together, then looked at."""
    together = sum(borders[1:], borders[0])
    values = np.array([[each.hausdorff_um(), each.mean_um] for each in borders])
    bounds = _bounds(borders)
    for metric, column, value, bound in zip(
        DISTANCES, values.T, (together.hausdorff_um(), together.mean_um), bounds, strict=True
    ):
        yield from _levels(scores, name, metric, column, Interval(value, bound.low, bound.high))


def _bounds(borders: Sequence[BorderTally]) -> tuple[Interval, ...]:
    """Intervals of the pooled distances, from distances rounded to three digits."""
    sides = [
        [
            DistanceTally(_rounded(each.values_um), each.counts)
            for each in (b.from_truth, b.from_prediction)
        ]
        for b in borders
    ]
    grid = np.unique(np.concatenate([each.values_um for pair in sides for each in pair]))
    rows = np.zeros((len(borders), 2, len(grid)))
    for slide, pair in enumerate(sides):
        for side, each in enumerate(pair):
            np.add.at(rows[slide, side], np.searchsorted(grid, each.values_um), each.counts)

    def statistic(row: Values) -> Values:
        tally = BorderTally(*(DistanceTally(grid, counts) for counts in row))
        return np.array([tally.hausdorff_um(), tally.mean_um])

    return intervals_of_pooled(rows, Resampling(), statistic)


def _rounded(values: Values) -> Values:
    """To three digits; 0 and infinity stay."""
    rounded = values.copy()
    plain = np.isfinite(values) & (values > 0)
    unit = 10.0 ** (np.floor(np.log10(values[plain])) - 2)
    rounded[plain] = np.rint(values[plain] / unit) * unit
    return rounded
