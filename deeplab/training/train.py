"""The flow of a training: slides with annotations in, a bundle out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import keras
import tensorflow as tf

from deeplab import __version__
from deeplab.annotations.raster.rasterize import LABEL_SET
from deeplab.bundles.card import (
    MAX_TILE,
    Card,
    Fact,
    layers_as_fact,
    models_as_fact,
    slides_as_fact,
)
from deeplab.bundles.learnt_appearance import LearntAppearance, appearance_facts
from deeplab.bundles.save import save_bundle
from deeplab.bundles.start import card_before, start_encoder, start_from
from deeplab.config.checks import is_girder_id
from deeplab.config.classes import ClassList
from deeplab.config.families import network_config, with_channels
from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.network import NetworkConfig
from deeplab.config.progress import Progress, silent
from deeplab.config.train_request import Precision, TrainRequest
from deeplab.cores import usable_cores
from deeplab.data.augment import Augmentation
from deeplab.data.batches import batches
from deeplab.data.mining import HardPlaces
from deeplab.data.opening import OpenedSlides, open_slides
from deeplab.data.sampling import PatchForm, PatchSampler, Scales
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import AccessDeniedError, ConfigError, TrainingError, UnreachableError
from deeplab.files import check_writable
from deeplab.models.registry import family_named, family_of
from deeplab.training.distribution import Replicas, open_replicas
from deeplab.training.held_out import HeldOut
from deeplab.training.history import CheckNote
from deeplab.training.identity import agreed_settings, digest
from deeplab.training.loop import Trainer
from deeplab.training.memory import peak_memory_gb
from deeplab.training.optimizer import freeze_batch_norm
from deeplab.training.plan import plan_of
from deeplab.training.planning import plan_training
from deeplab.training.remote_checkpoints import RemoteCheckpoints, checkpoints_on_server
from deeplab.training.reporting.outcome import TrainingOutcome, write_outcome
from deeplab.training.reporting.tensorboard import EventLog
from deeplab.training.result import TrainResult
from deeplab.training.run import BEST, Run, RunHooks, work_folder
from deeplab.training.series import FoldsResult, train_and_compare, train_folds
from deeplab.training.state import State
from deeplab.training.validation.gain import Gain, PatientFigures, by_patient
from deeplab.training.validation.results import Validation

log = logging.getLogger(__name__)

EVENTS = "tensorboard"  # in the work folder
SCALE_MARGIN = 1.5  # a model is run at most this far from a scale at which it was trained


def train(request: TrainRequest, progress: Progress) -> TrainResult | FoldsResult:
    """Train what `request` asks for: a model, one beside it without its companion, or one a fold.

    Where hours are given, settings are planned first. A run that was stopped goes on from its last
    checkpoint when the same request is made again.

    Raises:
        TrainingError: there is nothing to learn from, or the loss is no longer a number.
        ConfigError, SlideError, AnnotationError, BundleError, ServerError, OutputError: as named.
    """
    check_network(request)
    if request.worker_index == 0:
        for path in (request.output_model, request.output_report):
            if path:
                check_writable(path)
    if request.hours:
        planned = plan_training(request, progress)
        for line in planned.plan.lines():
            log.info("%s", line)
        request = planned
    if request.folds and not request.fold:
        return train_folds(request, progress, train_once)
    if request.compare_without_companion:
        return train_and_compare(request, progress, train_once)
    return train_once(request, progress)


def train_once(
    request: TrainRequest,
    progress: Progress,
    *,
    without: TrainResult | None = None,
    expected: str = "",
    whole: FromLabelsRequest | None = None,
) -> TrainResult:
    """Train one network and write its bundle; see `TrainOnce`.

    Raises:
        TrainingError: there is nothing to learn from, the loss is no longer a number, or the slides
            are not those that were expected.
        ConfigError, SlideError, AnnotationError, BundleError, ServerError, OutputError: as named.
    """
    is_chief = request.worker_index == 0
    for path in (request.output_model, request.output_report, work_folder(request) / BEST):
        if path and is_chief:
            check_writable(path)
    replicas = open_replicas(request)
    replicas.check_batch(request.batch_size, request.gradient_accumulation)
    keras.utils.set_random_seed(request.seed)
    settings = agreed_settings(request, whole.work if whole else None)
    with (
        _precision(request.precision),
        checkpoints_on_server(whole or request, settings, work_folder(request))
        if is_chief
        else nullcontext() as remote,
    ):
        told = progress if is_chief else silent
        beside = _Beside(without, expected, settings)
        with _advice(), closing(open_slides(request, told)) as opened:
            result = _train(request, opened, replicas, remote, told, beside)
        # The others may not be gone before the first one has no more need of them.
        replicas.text_from_chief("done")
        return result


def check_network(request: TrainRequest) -> None:
    """Refuse a companion or label sets that the network that is asked for cannot have.

    Raises:
        ConfigError: it cannot.
    """
    if request.companion != "none" and family_named(request.network).companion is None:
        must = f"none: the network {request.network} does not give every pixel a class"
        raise ConfigError("companion", request.companion, must)
    if request.label_sets and family_named(request.network).answer != "labels":
        must = f"left away: the network {request.network} does not give every pixel a class"
        raise ConfigError("label_sets", ",".join(request.label_sets), must)


@contextmanager
def _advice() -> Iterator[None]:
    """Say what becomes of a training whose server gives nothing any more."""
    try:
        yield
    except (AccessDeniedError, UnreachableError) as error:
        more = "a training that had begun goes on from its last checkpoint when it is started again"
        raise type(error)(error.what, f"{error.problem}; {more}") from error


@contextmanager
def _precision(policy: Precision) -> Iterator[None]:
    """Layers made in the block compute in this precision; Keras has it as a global."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@dataclass(frozen=True, slots=True)
class _Beside:
    """What else a training is told: of another of the same command, and of when it began itself.

    Attributes:
        without: of the same one without its companion, if that was trained.
        expected: the digest of its slides; "": there was none.
        settings: in which a run that goes on from this one must agree.
        started_s: on a clock that only goes forward, when this training began.
    """

    without: TrainResult | None
    expected: str
    settings: str
    started_s: float = field(default_factory=time.monotonic)

    def check(self, slides: str) -> None:
        """Refuse slides that are not those of the trainings before.

        Raises:
            TrainingError: they are others, or something else is drawn on them.
        """
        if self.expected and slides != self.expected:
            raise TrainingError(
                "the slides or their annotations are not those of the trainings before this one; "
                "remove the work folder and begin again"
            )

    def gain(self, validation: Validation | None, request: TrainRequest) -> Gain | None:
        """Return what a training gains over that without its companion, where there was one."""
        if not (self.without and validation and validation.slides):
            return None
        patients = self.without.patients
        tallies = {slide.slide: slide.tally for slide in validation.slides}
        own = PatientFigures(tallies=by_patient(tallies, patients), seed=request.seed)
        return Gain.of(own, self.without.figures(request.seed))


def _train(
    request: TrainRequest,
    opened: OpenedSlides,
    replicas: Replicas,
    remote: RemoteCheckpoints | None,
    progress: Progress,
    beside: _Beside,
) -> TrainResult:
    slides = digest(sorted([*opened.learn, *opened.held_out], key=lambda slide: slide.name))
    beside.check(slides)
    config = network_config(request, opened.classes)
    if not opened.channels.are_colours:
        config = with_channels(config, opened.channels)
    trainer = _make_trainer(request, config, opened.classes, replicas)
    named = _with_taps(config, trainer.state.model())
    card = make_card(request, named, classes=opened.classes, slides=opened.learn)
    hard = HardPlaces(request.batch_size) if request.hard_mining else None
    sampler = _make_sampler(request, config, opened, hard)
    with EventLog(work_folder(request) / EVENTS, opened.classes) as events:
        held_out = _held_out(request, opened, card, trainer.state, events)
        run = Run(
            request=request,
            trainer=trainer,
            replicas=replicas,
            hooks=RunHooks(
                settings=beside.settings,
                slides=digest(opened.learn),
                validate=held_out,
                save=lambda path, check: save_bundle(
                    trainer.state.model(), _told_of(card, trainer.steps_done, check), path
                ),
                sent=remote.send if remote else lambda *_: None,
                noted=events.add,
            ),
            hard=hard,
            progress=progress,
        )
        run.fit(
            lambda steps: batches(
                sampler.patch,
                size=request.batch_size,
                steps=steps,
                threads=usable_cores(),
                share=(replicas.worker, replicas.workers),
            )
        )
    peaks = peak_memory_gb()
    said = ", ".join(f"{gb:.2f} GB of {place}" for place, gb in peaks.items())
    log.info("learnt from %.3g patches a second, in at most %s", run.patches_per_s, said)
    check = run.keep(request.output_model)
    seen = gain = None
    if replicas.is_chief:
        log.info("the model is %s", request.output_model)
        seen = held_out.of_step(check.step, request.output_model) if held_out and check else None
        gain = beside.gain(seen, request)
        ended = TrainingOutcome(
            request=request,
            opened=opened,
            card=card,
            history=run.history,
            kept_step=check.step if check else trainer.steps_done,
            validation=seen,
            set_aside=sampler.set_aside,
            first_step=run.first_step,
            seconds=time.monotonic() - beside.started_s,
            patches_per_s=run.patches_per_s,
            peak_memory_gb=peaks,
            without=beside.without,
            gain=gain,
        )
        write_outcome(ended, work_folder(request))
    return TrainResult(
        model=request.output_model,
        steps=trainer.steps_done,
        loss=run.history.steps[-1].loss,
        metrics=_metrics(card, check),
        set_aside=tuple(sampler.set_aside),
        worker=replicas.worker,
        tallies={each.slide: each.tally for each in seen.slides} if seen else {},
        patients={slide.name: slide.patient for slide in opened.held_out},
        slides=slides,
        gain=gain.sentence() if gain else "",
    )


def _with_taps(config: NetworkConfig, network: keras.Model) -> NetworkConfig:
    """Return the config with the names of the layers that activation maps are made of.

    A card that names them does not depend on the rule of this version.
    """
    taps = family_of(config).taps
    return replace(config, taps=tuple(taps(config, network).values())) if taps else config


def _make_sampler(
    request: TrainRequest,
    config: NetworkConfig,
    opened: OpenedSlides,
    hard: HardPlaces | None,
) -> PatchSampler:
    family = family_of(config)
    further_sets = [*request.label_set_weights][1:]
    return PatchSampler(
        slides=opened.learn,
        label_count=opened.classes.label_count,
        form=PatchForm(
            side=config.crop_size,
            margin=config.tiling.margin,
            needs=family.needs | {LABEL_SET + name for name in further_sets},
            over_the_edge=family.over_the_edge,
            encode=partial(family.encode, config),
        ),
        scales=Scales(
            work_mpp=request.work_mpp,
            downsamples=request.wsi_downsample,
            resolution=request.resolution,
        ),
        augmentation=Augmentation(request, config.channels),
        settings=request,
        hard=hard,
    )


def _make_trainer(
    request: TrainRequest, config: NetworkConfig, classes: ClassList, replicas: Replicas
) -> Trainer:
    family = family_of(config)
    with replicas.scope():
        network = _first_network(request, config, classes)
        averaged = family.build(config) if request.ema_decay else None
        # Last: the network is drawn at random as it would be without.
        companion = None
        if family.companion and request.companion != "none":
            companion = family.companion(config, request, network)
    if averaged and not request.batch_norm:
        freeze_batch_norm(averaged)
    return Trainer(
        network=network,
        averaged=averaged,
        loss=family.loss(config, request),
        companion=companion,
        settings=request,
        class_layers=family.last_layers(request),
        replicas=replicas,
        reduce_precision=request.reduce_precision,
        batch_size=request.batch_size,
        seed=request.seed,
    )


def _held_out(
    request: TrainRequest, opened: OpenedSlides, card: Card, state: State, events: EventLog
) -> HeldOut | None:
    """The held-out slides, looked at with the averaged weights; None where none is held out."""
    if not opened.held_out:
        return None
    return HeldOut(
        request=request, slides=opened.held_out, card=card, model=state.model, events=events
    )


def _metrics(card: Card, check: CheckNote | None) -> dict[str, float]:
    """Return what a validation found, by name, but for what is not defined."""
    figures = check.tally.figures(card.classes.names) if check else {}
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _told_of(card: Card, step: int, check: CheckNote | None) -> Card:
    """Return the card of a model after so many steps."""
    training = {
        **card.training,
        "steps": step,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return replace(card, training=training, metrics=_metrics(card, check))


def _first_network(request: TrainRequest, config: NetworkConfig, classes: ClassList) -> keras.Model:
    """Return a network to start from, with what an initial model or encoder gives it."""
    family = family_of(config)
    network = family.build(config)
    if request.initial_encoder:
        log.info(start_encoder(network, config, request.initial_encoder).summary())
    if request.initial_model:
        fresh = family.fresh_layers(request)
        log.info(start_from(network, config, classes, request.initial_model, fresh=fresh).summary())
    if not request.batch_norm:
        freeze_batch_norm(network)
    return network


def make_card(
    request: TrainRequest,
    config: NetworkConfig,
    *,
    classes: ClassList,
    slides: Sequence[AnnotatedSlide],
) -> Card:
    """Return what the bundle of a training says of itself before its first step."""
    seen = [request.work_mpp]
    if request.wsi_downsample:
        seen = [s.slide.mpp.mean * factor for s in slides for factor in request.wsi_downsample]
    # The middle one on a scale of ratios; augmentation has shown the network the rest of the range.
    work_mpp = math.exp((math.log(min(seen)) + math.log(max(seen))) / 2)
    tiling = config.tiling
    return Card(
        config=config,
        classes=classes,
        work_mpp=work_mpp,
        mpp_range=(min(seen) / SCALE_MARGIN, max(seen) * SCALE_MARGIN),
        halo=tiling.halo,
        tile=tiling.side_with(tiling.halo, most=MAX_TILE),
        trained_on=f"{len(slides)} slides of {Path(request.source).name}",
        training={
            "steps": 0,
            "batch_size": request.batch_size,
            "seed": request.seed,
            "augment": request.augment,
            **({} if request.companion == "none" else {"companion": request.companion}),
            **_learnt_from(request, slides),
            **_appearance_facts(request, slides),
            **(plan.facts() if (plan := plan_of(request)) else {}),
        },
        metrics={},
        versions={
            "histomics-deeplab": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    )


def _learnt_from(request: TrainRequest, slides: Sequence[AnnotatedSlide]) -> dict[str, Fact]:
    """Return which Girder items, layers and models a model is made of, as facts of its training."""
    paths = filter(None, (request.initial_encoder, request.initial_model))
    before = [(path, card) for path in paths if (card := card_before(path))]
    ids = [id_ for _, card in before for id_ in card.slides]
    layers = [id_ for slide in slides for id_ in slide.layer_ids]
    if request.api_url:
        ids += [slide.source for slide in slides if is_girder_id(slide.source)]
    return {**slides_as_fact(ids), **layers_as_fact(layers), **models_as_fact(before)}


def _appearance_facts(
    request: TrainRequest, slides: Sequence[AnnotatedSlide]
) -> Mapping[str, Fact]:
    """Return how the slides look that a model learns from, and those its initial model did.

    An initial encoder has learnt something else, and what an initial model learnt from may not be
    known; they are left out.
    """
    parts = [LearntAppearance.of(slide.appearance for slide in slides)]
    if parts[0] and request.initial_model and (card := card_before(request.initial_model)):
        before = LearntAppearance.from_card(card)
        parts += [before] if before else []
    return appearance_facts(parts)
