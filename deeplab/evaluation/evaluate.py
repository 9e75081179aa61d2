"""The flow of an evaluation: a prediction and a reference in, figures and a map of errors out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deeplab import __version__
from deeplab.annotations.formats.girder_json import read_girder_json, write_girder_json
from deeplab.annotations.formats.table import format_of_result
from deeplab.annotations.shapes import Annotations, Layer
from deeplab.config.evaluate_request import EvaluateRequest
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
from deeplab.evaluation.cases import Reader
from deeplab.evaluation.compared import Compared, remarks_on_names
from deeplab.evaluation.figures import Figures, write_table
from deeplab.evaluation.reference_digest import reference_digest
from deeplab.evaluation.report import as_interval, as_um, write_report
from deeplab.evaluation.sides import CLI
from deeplab.evaluation.slide_score import Identity, Judged, SlideScore, judge
from deeplab.evaluation.sources import Pair, Pairs, find_pairs
from deeplab.exchange.layers import Origin, replace_layers, tell_what_is_there
from deeplab.exchange.packed import ZIP, write_all
from deeplab.files import all_or_none, check_writable, scratch_folder
from deeplab.geometry.frames import Mpp
from deeplab.report.words import counted, said_once
from deeplab.server.session import ServerLogin, Session

log = logging.getLogger(__name__)

STEPS = 100  # of the progress, a slide


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What came out of a comparison."""

    figures: Figures
    compared: Compared

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        of = f" of {self.compared.model}" if self.compared.model else ""
        slides = counted(len(self.figures.scores), "slide")
        yield f"prediction{of} compared with the reference: {slides}"
        yield from remarks_on_names(self.compared)
        for name in self.figures.classes:
            dice, border, pq = (
                as_interval(self.figures.pooled(metric, name))
                for metric in ("dice", "boundary_f1", "pq")
            )
            far = as_um(self.figures.pooled("hausdorff_95_um", name).value)
            yield f"  {name}: Dice {dice}, border F1 {border}, 95 % Hausdorff {far} um, PQ {pq}"
        scores = self.figures.scores
        yield from said_once((score.name, remark) for score in scores for remark in score.remarks)
        for slide, why in self.compared.left_out.items():
            yield f"not compared: {slide} {why}"
        if self.compared.unused:
            yield f"layers not judged: {', '.join(self.compared.unused)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marked:
    """The layers of errors of one slide, in a file."""

    name: str
    item: str
    path: Path


def evaluate(request: EvaluateRequest, progress: Progress) -> Evaluated:
    """Compare as `request` says and write what it asks for, all of it or nothing.

    A slide of several that cannot be compared is left out and named.

    Raises:
        SourceError, AnnotationError, SlideError, ConfigError, ServerError, OutputError: as named.
    """
    for path in request.outputs:
        check_writable(path)
    format_of_result("output_annotation", request.output_annotation, ZIP)
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    found = find_pairs(request, login)
    _check_annotation(request, found)
    with scratch_folder() as folder:
        run = _Run(request, login, found, folder)
        for place, pair in enumerate(found.pairs):
            run.take(place, pair, progress)
        evaluated = run.evaluated()
        progress("write", 0, 1)
        with all_or_none(_writers(request, evaluated, run.marked)):
            if login and request.posts:
                _post(run.marked, evaluated.compared, login)
        progress("write", 1, 1)
    return evaluated


class _Run:
    """Judges slide after slide and keeps what was counted; layers wait in a folder."""

    def __init__(
        self, request: EvaluateRequest, login: ServerLogin | None, found: Pairs, folder: Path
    ) -> None:
        self._request, self._found, self._folder = request, found, folder
        self._reader = Reader(request, login)
        self._scores: list[SlideScore] = []
        self._left_out = dict(found.left_out)
        self._mismatched: dict[str, str] = {}
        self._fault: DeeplabError | None = None
        self.marked: list[_Marked] = []

    def take(self, place: int, pair: Pair, progress: Progress) -> None:
        """Judge one more slide."""
        slides = len(self._found.pairs)

        def told(done: int, total: int) -> None:
            progress("compare", place * STEPS + STEPS * done // total, slides * STEPS)

        try:
            case, sides = self._reader.read(pair)
            if slides == 1:
                self._reader.check_names()  # before all the work
            self._note_names(pair.name)
            judged = judge(case, self._request, told=told)
        except (AccessDeniedError, UnreachableError):
            raise  # no fault of this slide: the others would go the same way
        except (AnnotationError, ServerError, SlideError, SourceError) as error:
            if slides == 1:
                raise
            log.warning("%s is left out: %s", pair.name, error)
            self._left_out[pair.name] = _why(pair.name, error)
            self._fault = self._fault or error
            return
        identity = Identity(
            item=pair.item,
            reference=reference_digest(case, self._request),
            model_sha256=sides.model_sha256,
        )
        self._scores.append(replace(judged.score, model=sides.model, identity=identity))
        if self._request.output_annotation or self._request.posts:
            self._mark(place, pair, judged, sides.model, case.mpp)

    def _note_names(self, slide: str) -> None:
        if self._reader.mismatch:
            self._mismatched[slide] = self._reader.mismatch
            log.warning("%s: %s", slide, self._reader.mismatch)

    def evaluated(self) -> Evaluated:
        """Return all figures.

        Raises:
            ConfigError: a class is asked for that is nowhere, or there is none.
            SourceError, AnnotationError, SlideError: no slide could be compared.
        """
        if not self._scores and self._fault:
            raise self._fault
        self._reader.check_classes()
        self._reader.check_names()
        classes = self._reader.classes
        if not classes:
            raise SourceError("there is no layer to judge on any slide; name the classes")
        models = dict.fromkeys(score.model for score in self._scores if score.model)
        return Evaluated(
            figures=Figures(
                scores=tuple(score.among(classes) for score in self._scores),
                border_um=self._request.border_um,
            ),
            compared=Compared(
                request=self._request,
                model=", ".join(models),
                left_out=self._left_out,
                unused=tuple(self._reader.unused),
                of_reference=tuple(self._reader.of_reference),
                of_prediction=tuple(self._reader.of_prediction),
                mismatched=self._mismatched,
                idle_aliases=self._reader.idle_aliases,
            ),
        )

    def _mark(self, place: int, pair: Pair, judged: Judged, model: str, mpp: Mpp) -> None:
        path = self._folder / f"{place}.anot"
        attributes = {
            "cli": CLI,
            "version": __version__,
            "compared": {
                "slide": pair.name,
                "prediction": model or Path(self._request.prediction).name or "layers of the slide",
                "reference": "layers of the slide"
                if pair.item
                else Path(self._request.reference).name,
            },
            "params": {
                "error_width_um": self._request.error_width_um,
                "min_iou": self._request.min_iou,
                "work_mpp": judged.score.work_mpp,
            },
        }
        layers = tuple(_named_by(model, layer) for layer in judged.layers)
        write_girder_json(path, Annotations(layers, attributes, mpp))
        self.marked.append(_Marked(name=pair.name, item=pair.item, path=path))


def _named_by(model: str, layer: Layer) -> Layer:
    """Return a layer whose name says of which model it shows the errors, if that is known."""
    return replace(layer, name=f"{layer.name} ({model.removesuffix('.zip')})") if model else layer


def _why(name: str, error: DeeplabError) -> str:
    """Return why a slide is left out, as the end of a sentence about it."""
    said = str(error)
    return said[len(name) + 1 :] if said.startswith(f"{name} ") else f"cannot be compared: {said}"


def _check_annotation(request: EvaluateRequest, found: Pairs) -> None:
    path = request.output_annotation
    if path and len(found.pairs) > 1 and path.suffix.lower() != ZIP:
        raise ConfigError(
            "output_annotation",
            str(path),
            f"a file {ZIP} where {len(found.pairs)} slides are compared: it holds a file of each",
        )


def _writers(
    request: EvaluateRequest, evaluated: Evaluated, marked: list[_Marked]
) -> Mapping[Path, Callable[[Path], None]]:
    """Return what is to be written where."""
    writers: dict[Path, Callable[[Path], None]] = {}
    if request.output_report:
        writers[request.output_report] = lambda path: write_report(
            path, evaluated.figures, evaluated.compared
        )
    if request.output_table:
        writers[request.output_table] = lambda path: write_table(path, evaluated.figures)
    if output := request.output_annotation:
        form = format_of_result("output_annotation", output, ZIP)
        writers[output] = lambda path: write_all(
            path, [(each.name, each.path) for each in marked], form, called=output
        )
    return writers


def _post(marked: list[_Marked], compared: Compared, login: ServerLogin) -> None:
    """Put the layers on their slides in the place of those of an earlier comparison."""
    source = compared.model or Path(compared.request.prediction).name or "prediction"
    there: list[str] = []
    with Session(login) as session, tell_what_is_there(there):
        for each in marked:
            layers = read_girder_json(each.path)
            replace_layers(session, each.item, layers, Origin(task=CLI, source=source))
            there.append(f"what is new of {each.name}")
