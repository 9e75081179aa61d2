"""The flow of a training from labels of patches: classifier, pseudo masks, segmenter, figures.

Each stage is what its own command does. A stage that is done is remembered in the work folder,
under a name that depends on what it was made of; so a command that is given again goes on where it
stopped, takes masks that somebody has corrected, and never what others were made of.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras

from deeplab.bundles.card import slides_as_fact
from deeplab.bundles.gate import make_gate
from deeplab.bundles.load import load_bundle
from deeplab.bundles.read import read_card, read_card_for
from deeplab.bundles.save import save_bundle
from deeplab.config.families import cell_side, network_config
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.gate_request import GateRequest
from deeplab.config.progress import Progress
from deeplab.config.pseudo_mask_request import PseudoMaskRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import BundleError, ConfigError
from deeplab.exchange.pseudo_mask_folder import FOLDER, drawn_layers
from deeplab.files import check_spared, check_writable, file_digest, whole_file
from deeplab.inference.pseudo_masks import make_pseudo_masks
from deeplab.training.identity import agreed_settings
from deeplab.training.labelled_patches import LabelledPatches
from deeplab.training.mask_figures import ImageFigures, judge_cam, judge_masks, judge_model
from deeplab.training.parts import Part, run_part
from deeplab.training.region_patches import cut_regions
from deeplab.training.remote_stages import RemoteStages, stages_on_server
from deeplab.training.reporting.from_labels import FromLabelsFacts, figure_line, write_from_labels
from deeplab.training.result import TrainOnce, TrainResult

log = logging.getLogger(__name__)

CAM_THRESHOLD = 0.25  # score from which the original draws a class of a patch of which nobody told
WEAK, UNGATED, CAM, FULL = (
    "labels of patches",
    "the same without the gate",
    "activation maps of the classifier alone",
    "masks of all patches (full supervision)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FromLabelsResult:
    """What a training from labels of patches came to.

    Attributes:
        model: the bundle.
        figures: of the models on patches with true masks, by what they learnt from.
        classes: names of these.
    """

    model: Path
    figures: Mapping[str, ImageFigures]
    classes: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for a person."""
        lines = [figure_line(name, each, self.classes) for name, each in self.figures.items()]
        return "\n".join([f"model {self.model}", *lines])


def train_from_labels(
    request: FromLabelsRequest, progress: Progress, train_once: TrainOnce
) -> FromLabelsResult:
    """Train both stages, join them, and say how good that is.

    Raises:
        SourceError: patches, their labels or masks are not as they must be.
        TrainingError, ConfigError, BundleError, SlideError, OutputError: as the stages do.
        AccessDeniedError, ServerError: the folder for stages is not there or not writable, or the
            server failed.
    """
    for path in _outputs(request):
        check_writable(path)
    if request.classifier_model:
        _check_classifier(request, request.classifier_model)
    with stages_on_server(request) as server:
        return _train(request, progress, partial(train_once, whole=request), server)


def _train(
    request: FromLabelsRequest,
    progress: Progress,
    train_once: TrainOnce,
    server: RemoteStages | None,
) -> FromLabelsResult:
    """Return what all stages came to, of which a server keeps those that are done."""
    slides: tuple[str, ...] = ()
    if request.labels == "regions":
        request, slides = cut_regions(request, progress)
    patches = LabelledPatches.of(request)
    read = [request.classifier_model] if request.classifier_model else []
    check_spared(_outputs(request), [*patches.files, *read])
    patches.check(request, cell=max(_cells(request, patches)))
    request.work.mkdir(parents=True, exist_ok=True)

    flow = _Flow(
        request=request,
        patches=patches,
        learnt_from=patches.labels_digest,  # reads every patch
        progress=progress,
        train_once=train_once,
        server=server,
    )
    classifier, first = _first_stage(flow)
    masks, sets = _pseudo_masks(flow, classifier)
    # What both segmenters learn from, beside their masks, and are chosen by.
    known = f"{flow.learnt_from}\n{_digest_of(patches.validation_files)}"
    segmenter = _second_stage(flow, known, masks, sets)
    full = _full_supervision(flow, known) if request.true_masks else None
    _name_slides(segmenter.model, slides)
    _join(request, segmenter.model, classifier)
    figures = _judge(request, patches, classifier, segmenter.model, full)
    truth = patches.truth_folder
    of_masks = {}
    if truth:
        of_masks = {name: judge_masks(truth, masks / name, patches.classes) for name in sets}
    if request.output_report:
        write_from_labels(
            request.output_report,
            FromLabelsFacts(
                request=request,
                patches=patches,
                classifier=classifier,
                first=first,
                second=segmenter,
                masks=masks,
                sets=sets,
                of_masks=of_masks,
                figures=figures,
            ),
        )
    return FromLabelsResult(model=request.output_model, figures=figures, classes=patches.classes)


def _outputs(request: FromLabelsRequest) -> list[Path]:
    return [path for path in (request.output_model, request.output_report) if path]


def _cells(request: FromLabelsRequest, patches: LabelledPatches) -> list[int]:
    """Return the sides of the coarsest cells of both networks, work pixels."""
    stages = (
        request.first_stage(patches.source, request.work),
        request.second_stage(patches.source, request.work, label_path=None),
    )
    return [cell_side(network_config(each, patches.class_list)) for each in stages]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flow:
    """What every stage is told.

    Attributes:
        request: of the whole; its regions are cut into patches.
        patches: that are learnt from.
        learnt_from: what these are, and of which classes, as text.
        progress: is told of every step.
        train_once: trains a stage.
        server: keeps the stages that are done; None: there is none.
    """

    request: FromLabelsRequest
    patches: LabelledPatches
    learnt_from: str
    progress: Progress
    train_once: TrainOnce
    server: RemoteStages | None

    def train(self, title: str, asked: TrainRequest) -> TrainResult:
        """Return what the training of a stage came to."""
        within = self.request.work
        with self.kept(asked.output_model.parent, agreed_settings(asked, within)):
            part = Part(title=title, request=asked)
            return run_part(part, self.progress, self.train_once, within=within)

    @contextmanager
    def kept(self, folder: Path, settings: str = "") -> Iterator[None]:
        """Take a stage from the server where that has it, and put it there when it is done."""
        if self.server:
            self.server.fetch(folder, settings)
        yield
        if self.server:
            self.server.keep(folder, settings)


def _first_stage(flow: _Flow) -> tuple[Path, TrainResult | None]:
    """Return the classifier and what its training came to, where it was trained here."""
    request = flow.request
    if request.classifier_model:
        return request.classifier_model, None
    folder = request.stage_folder("classifier", flow.learnt_from)
    asked = request.first_stage(flow.patches.source, folder)
    result = flow.train("stage 1, classifier", asked)
    return result.model, result


def _check_classifier(request: FromLabelsRequest, path: Path) -> None:
    """Refuse a classifier that would not go together with the segmenter.

    Raises:
        BundleError: it is of other classes or, before a gate, of another scale; or is none.
    """
    card = read_card_for("classify", path)
    names, classes = card.classes.names, request.classes
    if names != classes:
        raise BundleError(
            path,
            f"tells {', '.join(names)} apart, and {', '.join(classes)} is to be learnt; give both "
            "stages the same classes in the same order",
        )
    if request.gate_threshold and not math.isclose(card.work_mpp or 0, request.work_mpp):
        raise BundleError(
            path,
            f"works at {card.work_mpp or 'unknown'} um per pixel, and the segmenter that it is to "
            f"gate at {request.work_mpp:g}; give both the same work_mpp",
        )


def _pseudo_masks(flow: _Flow, classifier: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the masks, and the sets in it, that of the last layer first.

    They are drawn unless all were by this classifier; what was corrected since is left so.

    Raises:
        ConfigError: there are not as many layers as weights.
        SourceError: an image could not be read, after the others were drawn.
    """
    request, patches = flow.request, flow.patches
    drawn_as = f"{request.background} {request.slide_mpp}"
    made_of = f"{file_digest(classifier)} {flow.learnt_from} {drawn_as}"
    folder = request.stage_folder("pseudo-masks", made_of)

    def told(stage: str, done: int, total: int) -> None:
        flow.progress(f"pseudo masks: {stage}", done, total)

    with flow.kept(folder):
        layers = drawn_layers(folder, len(patches.images))
        if layers:
            log.info("pseudo masks were drawn before: %s", folder)
        else:
            keras.utils.clear_session(free_memory=True)
            asked = request.pseudo_masks(patches.source, classifier, folder)
            layers = tuple(make_pseudo_masks(asked, told).layers)
    count = len(request.label_set_weights)
    if count > len(layers):
        must = f"at most {len(layers)} numbers, one for each layer of {', '.join(layers)}"
        raise ConfigError("label_set_weights", count, must)
    return folder, tuple(FOLDER.format(name) for name in reversed(layers[-count:]))


def _second_stage(flow: _Flow, known: str, masks: Path, sets: tuple[str, ...]) -> TrainResult:
    """Return what the training of the segmenter came to."""
    request, patches = flow.request, flow.patches
    drawn = [path for name in sets for path in sorted((masks / name).iterdir())]
    folder = request.stage_folder("segmenter", f"{known}\n{_digest_of(drawn)}")
    weights = (f"{weight:g}" for weight in request.label_set_weights)
    asked = request.second_stage(
        str(patches.folder),
        folder,
        label_path=masks,
        sets=["=".join(pair) for pair in zip(sets, weights, strict=True)],
        held_out=patches.validation,
    )
    return flow.train("stage 2, segmenter", asked)


def _full_supervision(flow: _Flow, known: str) -> Path:
    """Return the model of the same network that learnt from the true masks."""
    request, patches = flow.request, flow.patches
    folder = request.stage_folder("full", f"{known}\n{_digest_of(sorted(patches.truth_files))}")
    asked = request.second_stage(
        str(patches.folder), folder, label_path=patches.truth_folder, held_out=patches.validation
    )
    return flow.train("full supervision", asked).model


def _name_slides(segmenter: Path, slides: Sequence[str]) -> None:
    """Say in a bundle which Girder items it has learnt from: its training saw patches in files."""
    card = read_card(segmenter)
    facts = slides_as_fact((*card.slides, *slides))
    if not facts.items() <= card.training.items():
        keras.utils.clear_session(free_memory=True)
        told = replace(card, training={**card.training, **facts})
        save_bundle(load_bundle(segmenter).network, told, segmenter)


def _join(request: FromLabelsRequest, segmenter: Path, classifier: Path) -> None:
    """Write the model: the segmenter behind its gate, or alone."""
    if request.gate_threshold:
        keras.utils.clear_session(free_memory=True)
        make_gate(
            GateRequest(
                model=segmenter,
                classifier=classifier,
                output=request.output_model,
                threshold=request.gate_threshold,
            )
        )
        return
    with whole_file(request.output_model) as draft:
        shutil.copyfile(segmenter, draft)


def _judge(
    request: FromLabelsRequest,
    patches: LabelledPatches,
    classifier: Path,
    segmenter: Path,
    full: Path | None,
) -> dict[str, ImageFigures]:
    """Return the figures of all models on the patches with true masks, where there are such."""
    if patches.judged is None:
        return {}
    folder, masks = patches.judged
    models = {WEAK: request.output_model}
    if request.gate_threshold:
        models[UNGATED] = segmenter
    if full:
        models[FULL] = full
    found = {
        name: judge_model(path, Path(folder), masks, patches.classes, request)
        for name, path in models.items()
    }
    cam = PseudoMaskRequest(
        source=Path(folder),
        model=classifier,
        output=request.stage_folder("cam", file_digest(classifier)),
        labels="scores",
        threshold=CAM_THRESHOLD,
        activation="cam",
        background=request.background,
        slide_mpp=request.slide_mpp,
        gpu=request.gpu,
    )
    found[CAM] = judge_cam(cam, masks, patches.classes)
    return found


def _digest_of(paths: Iterable[Path]) -> str:
    return "\n".join(f"{path.name} {file_digest(path)}" for path in paths)
