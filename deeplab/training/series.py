"""Several trainings in one command: with and without a companion, fold by fold, or both."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deeplab.bundles.ensemble import save_ensemble
from deeplab.bundles.read import read_card
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.errors import TrainingError
from deeplab.evaluation.tally import Tally
from deeplab.files import whole_file
from deeplab.models.registry import family_of
from deeplab.training.parts import Part, forget, run_part
from deeplab.training.plan import plan_of
from deeplab.training.reporting.folds import FoldFacts, FoldsReport, write_folds
from deeplab.training.result import TrainOnce, TrainResult
from deeplab.training.run import work_folder
from deeplab.training.validation.gain import Gain, PatientFigures

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldsResult:
    """What the trainings of all folds came to.

    Attributes:
        model: that was written.
        origin: what it is made of, in words.
        report: of the folds.
    """

    model: Path
    origin: str
    report: FoldsReport

    def summary(self) -> str:
        """Return a few lines for a person."""
        return "\n".join([f"model {self.model}: {self.origin}", *self.report.lines()])


def train_and_compare(
    request: TrainRequest, progress: Progress, train_once: TrainOnce
) -> TrainResult:
    """Train twice, without the companion first, and say what it gains.

    The model without it stays in the work folder.

    Raises:
        TrainingError: no slide is held out, or as a training does.
    """
    part = _without(request, work_folder(request) / "without-companion.zip", "")
    before = run_part(part, progress, train_once)
    if not before.tallies:
        raise TrainingError(
            "no slide is held out, so there is nothing to compare on; give more slides, a larger "
            "validation_fraction, or leave compare_without_companion away"
        )
    result = train_once(request, progress, without=before, expected=before.slides)
    forget([part])
    return result


def train_folds(request: TrainRequest, progress: Progress, train_once: TrainOnce) -> FoldsResult:
    """Train a model a fold, each on all patients but those of its fold, and judge it on these.

    The model that is written averages the probabilities of all; of a network of objects it is that
    of the fold with the highest score.

    Raises:
        TrainingError: the patients cannot be dealt out, or as a training does.
    """
    done: list[Part] = []
    results: list[TrainResult] = []
    others: list[TrainResult] = []
    expected = ""
    for part, without in _folds(request):
        before = None
        if without:
            before = run_part(without, progress, train_once, expected=expected)
            others.append(before)
            done.append(without)
            expected = before.slides
        results.append(run_part(part, progress, train_once, without=before, expected=expected))
        done.append(part)
        expected = results[-1].slides
    report = _report(request, results, others)
    origin = _write_model(request, results, report)
    write_folds(report, request.output_report, work_folder(request) / "folds.csv")
    forget(done)
    return FoldsResult(model=request.output_model, origin=origin, report=report)


def _folds(request: TrainRequest) -> Iterator[tuple[Part, Part | None]]:
    """Yield the training of each fold, and the same without its companion where that is asked."""
    folder = work_folder(request)
    for fold in range(1, request.folds + 1):
        asked = replace(
            request,
            fold=fold,
            compare_without_companion=False,
            output_model=folder / f"fold-{fold}.zip",
            output_report=folder / f"fold-{fold}.html" if request.output_report else None,
            work_folder=folder / f"fold-{fold}",
        )
        part = Part(title=f"fold {fold} of {request.folds}", request=asked)
        without = None
        if request.compare_without_companion:
            path = folder / f"fold-{fold}-without-companion.zip"
            without = _without(asked, path, f"{part.title}, ")
        yield part, without


def _without(request: TrainRequest, model: Path, before: str) -> Part:
    """Return the same training without its companion; `before` stands before its title."""
    asked = replace(
        request,
        recipe="default",  # whose settings are in their fields, and would bring the companion back
        companion="none",
        compare_without_companion=False,
        output_model=model,
        output_report=None,
        post_worst="off",
        work_folder=model.with_suffix(""),
    )
    return Part(title=f"{before}without companion", request=asked)


def _report(
    request: TrainRequest, results: list[TrainResult], others: list[TrainResult]
) -> FoldsReport:
    seed = request.seed
    figures = _together([result.figures(seed) for result in results], seed)
    gain = None
    if others:
        gain = Gain.of(figures, _together([other.figures(seed) for other in others], seed))
    return FoldsReport(
        model=request.output_model.name,
        classes=read_card(results[0].model).classes,
        folds=tuple(
            FoldFacts(
                slides=len(result.tallies),
                steps=result.steps,
                figures=result.figures(seed),
                without=others[place].figures(seed).pooled if others else None,
            )
            for place, result in enumerate(results)
        ),
        figures=figures,
        gain=gain,
        keep=request.keep,
    )


def _together(folds: list[PatientFigures], seed: int) -> PatientFigures:
    """Return the figures of all folds; a patient is in one of them only."""
    tallies: Mapping[str, Tally] = {
        patient: tally for fold in folds for patient, tally in fold.tallies.items()
    }
    return PatientFigures(tallies=tallies, seed=seed)


def _write_model(request: TrainRequest, results: list[TrainResult], report: FoldsReport) -> str:
    """Write the model of all folds and return what it is made of."""
    paths = [result.model for result in results]
    if family_of(read_card(paths[0]).config).answer != "objects":
        score = report.figures.pooled
        facts = {
            "folds": len(paths),
            f"{score.score_name} of the folds, pooled": score.score,
            **(plan.facts() if (plan := plan_of(request)) else {}),
        }
        save_ensemble(paths, request.output_model, facts=facts)
        return f"the mean of the probabilities of {len(paths)} networks, one a fold"
    best = max(range(len(paths)), key=lambda place: report.folds[place].figures.pooled.score)
    with whole_file(request.output_model) as draft:
        shutil.copyfile(paths[best], draft)
    return f"that of fold {best + 1}, whose figures are the highest"
