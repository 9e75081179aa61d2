"""The flow of staging: outlines of metastases in; lesions of slides and stages of patients out."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deeplab.config.lymph_node_requests import StageRequest
from deeplab.errors import SourceError
from deeplab.evaluation.lesions import CATEGORIES, Category, NodeLesions
from deeplab.evaluation.node_slides import Metastases, files_of, find_node_slides
from deeplab.evaluation.node_stage import (
    STAGES,
    Stage,
    check_patients,
    node_of,
    quadratic_kappa,
    stage_patients,
)
from deeplab.exchange.samples import rows_of
from deeplab.files import all_or_none, check_spared, check_writable
from deeplab.report.cells import safe_cell
from deeplab.report.words import counted, listed

log = logging.getLogger(__name__)

LESION_COLUMNS = (
    *("slide", "category", "largest_mm", "area_mm2", "lesions"),
    *("macro", "micro", "itc"),  # numbers of lesions
)
STAGE_COLUMNS = ("patient", "stage")
ARCHIVE = ".zip"  # CAMELYON17 calls a patient after the archive of the slides
MOST_BYTES = 1 << 24  # of a table of slides or stages


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What came out.

    Attributes:
        categories: of the slides by name.
        stages: of the patients; none where they were not asked for.
        given: the stages they are compared with.
    """

    categories: Mapping[str, Category]
    stages: Mapping[str, Stage]
    given: Mapping[str, Stage]

    @property
    def kappa(self) -> float:
        """Quadratic weighted kappa of the patients whose stages are given."""
        return quadratic_kappa(list(self.given.values()), [self.stages[p] for p in self.given])

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        slides = list(self.categories.values())
        told = ", ".join(f"{slides.count(name)} {name}" for name in CATEGORIES)
        yield f"{counted(len(slides), 'slide')}: {told}"
        if self.stages:
            stages = list(self.stages.values())
            told = ", ".join(f"{stages.count(name)} {name}" for name in STAGES)
            yield f"{counted(len(stages), 'patient')}: {told}"
        if self.given:
            same = sum(self.stages[patient] == stage for patient, stage in self.given.items())
            agrees = f"{same} of {counted(len(self.given), 'patient')} as given"
            kappa = self.kappa
            told = "not defined, as all have one stage" if math.isnan(kappa) else f"{kappa:.4f}"
            yield f"{agrees}; quadratic weighted kappa {told}"


def stage(request: StageRequest) -> Staged:
    """Measure the lesions of all slides, stage the patients and write what is asked for.

    Raises:
        SourceError: nothing is there, or a patient has not five slides.
        AnnotationError, SlideError, ScaleError, OutputError: as reading and writing do.
    """
    for path in request.outputs:
        check_writable(path)
    read = (request.prediction, *([request.reference] if request.reference else ()))
    check_spared(request.outputs, read)
    given = _given_stages(request.reference) if request.reference else {}
    if request.prediction.suffix.lower() == ".csv":
        if request.output_lesions:
            raise SourceError(
                f"{request.prediction} says the categories of slides, not their lesions; give the"
                " folder of their outlines, or leave output_lesions away"
            )
        lesions: list[NodeLesions] = []
        categories = _given_categories(request.prediction)
    else:
        lesions = _measure(request)
        categories = {each.slide: each.category for each in lesions}
    stages = stage_patients(categories) if request.stages_patients else {}
    if missing := sorted(set(given) - set(stages)):
        raise SourceError(
            f"{request.reference} has a stage of {missing[0]}, of whom there are no slides; leave"
            " the row away or add the slides"
        )
    with all_or_none(_writers(request, lesions, stages)):
        pass
    return Staged(categories=categories, stages=stages, given=given)


def _measure(request: StageRequest) -> list[NodeLesions]:
    slides = find_node_slides(request.prediction, request.slide)
    check_spared(request.outputs, files_of(slides))
    if request.stages_patients:
        check_patients(each.name for each in slides)  # before all the work
    metastases = Metastases(
        classes=request.classes, slide_mpp=request.slide_mpp, merge_um=request.merge_um
    )
    found = []
    for each in slides:
        found.append(NodeLesions(each.name, each.lesions(metastases)))
        size = f"{found[-1].largest_mm:.3g} mm"
        log.info("%s: %s, largest lesion %s", each.name, found[-1].category, size)
    return found


def _writers(
    request: StageRequest, lesions: Sequence[NodeLesions], stages: Mapping[str, Stage]
) -> dict[Path, Callable[[Path], None]]:
    writers: dict[Path, Callable[[Path], None]] = {}
    if request.output_lesions:
        rows = [_row(each) for each in lesions]
        writers[request.output_lesions] = _table(LESION_COLUMNS, rows)
    if request.output_stages:
        rows = [[safe_cell(patient), stage] for patient, stage in stages.items()]
        writers[request.output_stages] = _table(STAGE_COLUMNS, rows)
    return writers


def _row(slide: NodeLesions) -> list[str]:
    count = slide.count()
    figures = (f"{slide.largest_mm:.4f}", f"{slide.area_mm2:.6g}", str(len(slide.lesions)))
    numbers = (str(count[name]) for name in CATEGORIES[:0:-1])
    return [safe_cell(slide.slide), slide.category, *figures, *numbers]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])

    return write


def _given_stages(path: Path) -> dict[str, Stage]:
    """Return the stages in a table; rows of slides, as CAMELYON17 has, are passed over."""
    stages: dict[str, Stage] = {}
    for where, patient, text in _rows(path, ("patient",), ("stage",)):
        if node_of(patient):
            continue
        if text not in STAGES:
            raise SourceError(f"{where}: {text!r} is no stage; these are: {', '.join(STAGES)}")
        stages[patient.removesuffix(ARCHIVE)] = STAGES[STAGES.index(text)]
    if not stages:
        raise SourceError(f"{path} has no row of a patient")
    return stages


def _given_categories(path: Path) -> dict[str, Category]:
    """Return the categories of slides in a table of ours or of CAMELYON17's, by slide."""
    categories: dict[str, Category] = {}
    for where, slide, text in _rows(path, ("slide", "patient"), ("category", "stage")):
        if slide.endswith(ARCHIVE) and text in STAGES:
            continue  # the row of a patient
        if text not in CATEGORIES:
            raise SourceError(
                f"{where}: {text!r} is no category of a slide; these are: {', '.join(CATEGORIES)}"
            )
        if slide in categories:
            raise SourceError(f"{where}: {slide} is listed twice")
        categories[slide] = CATEGORIES[CATEGORIES.index(text)]
    if not categories:
        raise SourceError(f"{path} has no row of a slide")
    return categories


def _rows(
    path: Path, names: Sequence[str], values: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield the place, the name and the value of each row, by the first columns that are there."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SourceError(f"{path} is larger than a table of slides or patients is")
        rows = rows_of(path.read_text(encoding="utf-8-sig"))
        columns = rows.fieldnames or ()
        name = next((each for each in names if each in columns), "")
        value = next((each for each in values if each in columns), "")
        if not (name and value):
            wanted = " and ".join(listed(each).replace(" and ", " or ") for each in (names, values))
            raise SourceError(f"{path} must have the columns {wanted}")
        for number, row in enumerate(rows, start=2):
            if row[name].strip() or row[value].strip():
                yield f"{path} line {number}", row[name].strip(), row[value].strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not a table that can be read: a CSV in UTF-8") from error
