"""The flow of judging detections: confidences and places in, FROC and AUC of slides out."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.config.lymph_node_requests import DetectionRequest
from deeplab.errors import AnnotationError, SourceError
from deeplab.evaluation.froc import FALSE_POSITIVES, Froc, SlideDetections, slide_auc
from deeplab.evaluation.lesions import Lesion
from deeplab.evaluation.node_slides import Metastases, NodeSlide, files_of, find_node_slides
from deeplab.evaluation.peaks import find_peaks
from deeplab.exchange.beside import SLIDES, plain_name, split_name
from deeplab.exchange.samples import files_in
from deeplab.files import all_or_none, check_spared, check_writable
from deeplab.report.words import counted

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
TABLE = ".csv"
COLUMNS = ("metric", "false_positives_per_slide", "threshold", "value")
MOST_BYTES = 1 << 28  # of a table of detections: some ten million
CONFIDENCE = "confidence"  # the property of a shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What came out: the curve and the figures of slides."""

    froc: Froc
    auc: float
    slides: int
    lesions: int

    def summary(self) -> str:
        """Return a few lines for a person."""
        read = ", ".join(f"{self.froc.at(each):.3f} at {each:g}" for each in FALSE_POSITIVES)
        auc = "not defined, as all are of one kind" if math.isnan(self.auc) else f"{self.auc:.4f}"
        if not self.lesions:
            return f"{counted(self.slides, 'slide')} without a lesion to find; AUC {auc}"
        return (
            f"{counted(self.slides, 'slide')}, {counted(self.lesions, 'lesion')} to find\n"
            f"FROC score {self.froc.score:.4f} (sensitivity {read} false positives a slide)\n"
            f"AUC of slides {auc}"
        )


def judge_detections(request: DetectionRequest) -> Detected:
    """Hold the detections on all slides against what is drawn, and write what is asked for.

    Raises:
        SourceError: a slide has detections and no reference, or the other way round.
        AnnotationError, SlideError, ScaleError, OutputError: as reading and writing do.
    """
    outputs = [request.output_table] if request.output_table else []
    for path in outputs:
        check_writable(path)
    references = {each.stem: each for each in find_node_slides(request.reference, request.slide)}
    tables = _tables(request.prediction)
    others = {} if tables else _drawn(request)
    check_spared(outputs, [*files_of(references.values()), *tables.values()])
    check_spared(outputs, files_of(others.values()))
    _check_partners(request, set(references), {*tables, *others})
    metastases = Metastases(
        classes=request.classes, slide_mpp=request.slide_mpp, merge_um=request.merge_um
    )
    judged = []
    for name in [*tables, *others]:
        points, confidences = (
            _read_table(tables[name]) if tables else _drawn_detections(others[name], metastases)
        )
        lesions: tuple[Lesion, ...] = ()
        scale = np.ones(2)
        if name in references:
            annotations = references[name].read(metastases)
            lesions = references[name].measure(annotations, metastases)
            if lesions:
                mpp = references[name].scale(annotations, metastases.slide_mpp)
                scale = np.array([mpp.x, mpp.y])
        reach_um = request.merge_um / 2
        judged.append(SlideDetections.of(points * scale, confidences, lesions, reach_um))
        log.info(
            "%s: %s, %s", name, counted(len(points), "detection"), counted(len(lesions), "lesion")
        )
    froc = Froc.of(judged)
    detected = Detected(
        froc=froc,
        auc=slide_auc(judged),
        slides=len(judged),
        lesions=sum(len(each.found) for each in judged),
    )
    with all_or_none({path: _writer(detected) for path in outputs}):
        pass
    return detected


def _tables(folder: Path) -> dict[str, Path]:
    """Return the tables of detections in a folder by the names of slides without suffix."""
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder} of detections, a file for every slide")
    files = (path for path in files_in(folder) if path.suffix.lower() == TABLE)
    return {_stem(plain_name(path.name).removesuffix(TABLE)): path for path in files}


def _stem(name: str) -> str:
    stem, suffix = split_name(name)
    return stem if suffix in SLIDES else name


def _drawn(request: DetectionRequest) -> dict[str, NodeSlide]:
    return {each.stem: each for each in find_node_slides(request.prediction, request.slide)}


def _check_partners(request: DetectionRequest, drawn: set[str], detected: set[str]) -> None:
    """Raise SourceError unless all are judged and those without reference said to be normal."""
    if missing := sorted(drawn - detected):
        raise SourceError(
            f"{missing[0]} has a reference and no file of detections; an empty file says that"
            " nothing was found there"
        )
    for name in sorted(detected - drawn):
        if not any(fnmatchcase(name, pattern) for pattern in request.normal):
            raise SourceError(
                f"{name} has detections and no reference; if it has no metastasis, name it, or a"
                " pattern of such names as normal_*, as normal"
            )


def _read_table(path: Path) -> tuple[Floats, Floats]:
    """Return places (n, 2), level-0 pixels, and confidences (n,) of rows confidence, x, y.

    A first row of words is passed over.
    """
    rows: list[tuple[float, float, float]] = []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SourceError(f"{path} is larger than a table of detections can be here")
        with path.open(newline="", encoding="utf-8-sig") as file:
            for number, cells in enumerate(csv.reader(file), start=1):
                if any(cell.strip() for cell in cells):
                    row = _numbers(cells)
                    if row is None and number > 1:
                        raise SourceError(
                            f"{path} line {number} must be a confidence of 0 to 1, x and y"
                        )
                    rows += [row] if row else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not a table that can be read: a CSV in UTF-8") from error
    table = np.array(rows, np.float64).reshape(-1, 3)
    return table[:, 1:], table[:, 0]


def _numbers(cells: Sequence[str]) -> tuple[float, float, float] | None:
    try:
        confidence, x, y = map(float, cells)
    except ValueError:
        return None
    is_place = math.isfinite(x) and math.isfinite(y)
    return (confidence, x, y) if is_place and 0 <= confidence <= 1 else None


def _drawn_detections(slide: NodeSlide, metastases: Metastases) -> tuple[Floats, Floats]:
    """Return places (n, 2), level-0 pixels, and confidences (n,) of what a segmentation wrote."""
    heat = slide.heatmap_points(metastases)
    if heat is None:
        return _confident(slide, metastases)
    mpp = slide.scale(slide.read(metastases), metastases.slide_mpp)
    peaks = heat[find_peaks(heat[:, :2] * (mpp.x, mpp.y), heat[:, 2])]
    return peaks[:, :2], peaks[:, 2]


def _confident(slide: NodeSlide, metastases: Metastases) -> tuple[Floats, Floats]:
    """Return a place in each shape (n, 2), level-0 pixels, and its confidence (n,)."""
    rows = []
    shapes = metastases.shapes_in(slide.read(metastases), slide.name)
    for shape in shapes:
        confidence = shape.properties.get(CONFIDENCE)
        if not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
            raise AnnotationError(
                slide.name,
                "a shape has no confidence of 0 to 1; give a table of detections (.csv:"
                " confidence, x, y), or layers that a segmentation wrote, best with save_heatmap",
            )
        point = shape.polygon.representative_point()
        rows.append((point.x, point.y, float(confidence)))
    table = np.array(rows, np.float64).reshape(-1, 3)
    return table[:, :2], table[:, 2]


def _writer(detected: Detected) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *_rows(detected)])

    return write


def _rows(detected: Detected) -> Iterator[tuple[str, str, str, str]]:
    froc = detected.froc
    yield "froc_score", "", "", _figure(froc.score)
    yield "slide_auc", "", "", _figure(detected.auc)
    for each in FALSE_POSITIVES:
        yield "sensitivity_at", f"{each:g}", "", _figure(froc.at(each))
    for threshold, false, hit in zip(
        froc.thresholds.tolist(),
        froc.false_positives.tolist(),
        froc.sensitivity.tolist(),
        strict=True,
    ):
        yield "curve", f"{false:.6g}", f"{threshold:.9g}", _figure(hit)


def _figure(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
