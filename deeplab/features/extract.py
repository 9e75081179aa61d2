"""The flow of a measurement: annotated slides in, tables, a report, layers and metadata out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from deeplab.annotations.formats.girder_json import read_girder_json
from deeplab.annotations.formats.table import format_of_result
from deeplab.annotations.shapes import Annotations
from deeplab.config.features_request import FeaturesRequest
from deeplab.config.progress import Progress
from deeplab.errors import (
    AccessDeniedError,
    AnnotationError,
    ConfigError,
    DeeplabError,
    ServerError,
    SlideError,
    SourceError,
    UnreachableError,
)
from deeplab.exchange.labelling import nearest
from deeplab.exchange.layers import Origin, replace_layers, tell_what_is_there
from deeplab.exchange.packed import ZIP, write_all
from deeplab.exchange.samples import LeftOut, Sample, find_samples
from deeplab.features.csv_table import write_objects
from deeplab.features.feature_layers import (
    METADATA,
    MOST_OBJECTS,
    TASK,
    layer_name,
    slide_metadata,
)
from deeplab.features.measure_slide import SlideMeasurer
from deeplab.features.report import FeaturesReportFacts, write_report
from deeplab.features.slide_labels import SlideLabels, read_slide_labels
from deeplab.features.slide_measures import SlideMeasures, class_names
from deeplab.features.workbook import sheets_of, write_workbook
from deeplab.files import all_or_none, check_spared, check_writable, scratch_folder
from deeplab.report.words import counted, said_once
from deeplab.server.folder_files import check_folder_writable
from deeplab.server.items import get_item, put_metadata
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)

STEPS = 1000  # of the progress, for each slide
NAMED = 5  # slides that are named in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesResult:
    """What was measured, what was not, and what a reader should know of it."""

    slides: Sequence[SlideMeasures]
    left_out: Sequence[LeftOut]
    remarks: Sequence[str]

    def summary(self) -> str:
        """Return a few lines for a person."""
        lines = [f"{counted(len(self.slides), 'slide')} measured"]
        for name in class_names(self.slides):
            some = [s for slide in self.slides for s in slide.summaries if s.class_name == name]
            objects, area = sum(s.count for s in some), sum(s.total_area_mm2 for s in some)
            lines.append(f"  {name}: {counted(objects, 'object')}, {area:.4g} mm2")
        lines += [f"left out: {each.name}: {each.why}" for each in self.left_out]
        return "\n".join([*lines, *(f"note: {remark}" for remark in self.remarks)])


def extract_features(request: FeaturesRequest, progress: Progress) -> FeaturesResult:
    """Measure as `request` says and write and post what it asks for, all of it or nothing.

    A slide of many that cannot be measured is left out and named.

    Raises:
        SourceError: there is nothing to measure, or the table of labels cannot be read.
        ConfigError, SlideError, AnnotationError, ServerError, OutputError: as named.
    """
    # All that can be refused is looked at before the work.
    for path in request.outputs:
        check_writable(path)
    format_of_result("output_annotation", request.output_annotation, ZIP)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    labels = read_slide_labels(request.slide_labels) if request.slide_labels else SlideLabels()
    found = find_samples(request.folder or request.source, classes=request.classes, login=login)
    check_spared(request.outputs, [*found.files, Path(request.source)])
    _check_one_file(request, found.samples)
    if login and request.posts:
        _check_may_write(login, found.samples[0].slide)
    with scratch_folder() as folder:
        slides, faults = _measure_all(found.samples, request, login, folder, progress)
        result = FeaturesResult(
            slides=slides,
            left_out=[*found.left_out, *faults],
            remarks=list(_remarks(request, slides, labels)),
        )
        progress("write", 0, 1)
        with all_or_none(_writers(request, result, labels)):
            if login and request.posts:
                _post(request, slides, login)
        progress("write", 1, 1)
    return result


def _check_one_file(request: FeaturesRequest, samples: Sequence[Sample]) -> None:
    path = request.output_annotation
    if path and len(samples) > 1 and path.suffix.lower() != ZIP:
        raise ConfigError(
            "output_annotation", path, f"a {ZIP} where there are several slides to measure"
        )


def _check_may_write(login: ServerLogin, item_id: str) -> None:
    """Refuse at once what would fail after hours: layers and metadata need the right to write."""
    with Session(login) as session:
        check_folder_writable(session, get_item(session, item_id).folder_id)


def _measure_all(
    samples: Sequence[Sample],
    request: FeaturesRequest,
    login: ServerLogin | None,
    folder: Path,
    progress: Progress,
) -> tuple[list[SlideMeasures], list[LeftOut]]:
    """Return the slides that can be measured, and the others."""
    slides: list[SlideMeasures] = []
    faults: list[tuple[LeftOut, DeeplabError]] = []
    for number, sample in enumerate(samples):

        def tick(done: int, count: int, number: int = number) -> None:
            share = STEPS * done // max(count, 1)
            progress("measure", number * STEPS + share, len(samples) * STEPS)

        tick(0, 1)
        measurer = SlideMeasurer(request=request, login=login, tick=tick)
        try:
            slides.append(measurer.measure(sample, folder / f"{number:06d}.anot"))
        except (AccessDeniedError, UnreachableError):
            raise  # no fault of this slide: the others would go the same way
        except (SlideError, AnnotationError, ServerError) as error:
            why = error.problem
            log.warning("%s is left out: %s", sample.name, why)
            faults.append((LeftOut(sample.name, why), error))
    if not slides:
        raise _nothing_left([error for _, error in faults])
    progress("measure", len(samples) * STEPS, len(samples) * STEPS)
    return slides, [left_out for left_out, _ in faults]


def _nothing_left(errors: Sequence[DeeplabError]) -> DeeplabError:
    """Return the error that says why no slide could be measured."""
    if len(errors) == 1:
        return errors[0]
    told = "; ".join(map(str, errors[:NAMED]))
    more = f"; and {len(errors) - NAMED} more" if len(errors) > NAMED else ""
    return SourceError(f"none of {len(errors)} slides can be measured: {told}{more}")


def _remarks(
    request: FeaturesRequest, slides: Sequence[SlideMeasures], labels: SlideLabels
) -> Iterator[str]:
    drawn = tuple(class_names(slides))
    for name in request.classes:
        if name not in drawn:
            near = nearest(name, drawn)
            yield f"no slide has a layer {name}" + (f"; did you mean {near}?" if near else "")
    yield from said_once((slide.name, remark) for slide in slides for remark in slide.remarks)
    if request.slide_labels:
        without = [slide.name for slide in slides if labels.of(slide.name) is None]
        if without:
            more = f" and {len(without) - NAMED} more" if len(without) > NAMED else ""
            told = ", ".join(without[:NAMED]) + more
            yield f"{request.slide_labels.name} has no row for {told}"
    if request.output_workbook:
        for sheet in sheets_of(slides):
            if sheet.first:
                yield f"objects of {sheet.class_name} go on in the sheet {sheet.name}"
    if request.posts and request.post_annotation == "auto":
        yield from _too_many(slides)


def _too_many(slides: Sequence[SlideMeasures]) -> Iterator[str]:
    for slide in slides:
        for name in slide.tables:
            if slide.count(name) > MOST_OBJECTS:
                yield (
                    f"{slide.name}: {name} has more than the {MOST_OBJECTS:,} objects that "
                    "HistomicsUI plots; their features are not put on the slide"
                )


def _writers(
    request: FeaturesRequest, result: FeaturesResult, labels: SlideLabels
) -> dict[Path, Callable[[Path], None]]:
    """Return what is to be written where."""
    writers: dict[Path, Callable[[Path], None]] = {}
    slides, pixels = result.slides, request.pixels
    if request.output_workbook:
        writers[request.output_workbook] = lambda path: write_workbook(
            path, slides, labels, pixels=pixels
        )
    if request.output_table:
        writers[request.output_table] = lambda path: write_objects(
            path, slides, labels, pixels=pixels
        )
    if request.output_report:
        facts = FeaturesReportFacts(
            request=request,
            slides=slides,
            left_out=result.left_out,
            remarks=result.remarks,
            labels=labels,
            finished=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        )
        writers[request.output_report] = lambda path: write_report(path, facts)
    if output := request.output_annotation:
        form = format_of_result("output_annotation", output, ZIP)
        writers[output] = lambda path: write_all(
            path, [(slide.name, slide.layers) for slide in slides], form, called=output
        )
    return writers


def _plotted(annotations: Annotations) -> Annotations:
    """Return the layers that HistomicsUI plots."""
    few = tuple(each for each in annotations.layers if len(each.shapes) <= MOST_OBJECTS)
    return replace(annotations, layers=few)


def _post(request: FeaturesRequest, slides: Sequence[SlideMeasures], login: ServerLogin) -> None:
    """Put layers and numbers on the items, in the place of those of an earlier run."""
    origin, there = Origin(task=TASK, source="features"), list[str]()
    with Session(login) as session, tell_what_is_there(there):
        for slide in slides:
            if request.post_annotation == "auto":
                layers = _plotted(read_girder_json(slide.layers))
                only = [layer_name(name) for name in request.classes]
                replace_layers(session, slide.slide, layers, origin, only=only)
            if request.post_metadata == "auto":
                put_metadata(session, slide.slide, {METADATA: slide_metadata(slide)})
            there.append(f"what is new of {slide.name}")
