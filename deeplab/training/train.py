"""The flow of a training: slides with annotations in, a bundle out."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import keras
import tensorflow as tf

from deeplab import __version__
from deeplab.bundles.card import Card
from deeplab.bundles.save import save_bundle
from deeplab.bundles.start import start_from
from deeplab.config.classes import ClassList
from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.config.progress import Progress
from deeplab.config.train_request import Precision, TrainRequest
from deeplab.data.augment import Augmentation
from deeplab.data.opening import open_slides
from deeplab.data.sampling import PatchSampler, Scales
from deeplab.data.truth import AnnotatedSlide
from deeplab.device import choose_device
from deeplab.files import check_writable
from deeplab.models.registry import family_of
from deeplab.training.identity import agreed_settings
from deeplab.training.loop import freeze_batch_norm
from deeplab.training.remote_checkpoints import RemoteCheckpoints, checkpoints_on_server
from deeplab.training.run import Run, work_folder
from deeplab.training.validate import hold_out_patches

log = logging.getLogger(__name__)

VALIDATION_PATCHES = 64
# Image pooling looks half a training crop far, the convolutions a little farther.
HALO_MARGIN = 32  # work pixels
SCALE_MARGIN = 1.5  # a model is run at most this far from a scale at which it was trained


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training came to.

    `metrics` are those of the held-out slides, empty where none was held out.
    """

    model: Path
    steps: int
    loss: float
    metrics: dict[str, float]

    def summary(self) -> str:
        """A few lines for a person."""
        lines = [f"model {self.model} after {self.steps} steps, loss {self.loss:.4f}"]
        lines += [f"  {name}: {value:.4f}" for name, value in self.metrics.items()]
        return "\n".join(lines)


def train(request: TrainRequest, progress: Progress) -> TrainResult:
    """Train a network as `request` says and write its bundle.

    A run that was stopped goes on from its last checkpoint when the same request is made again.

    Raises:
        TrainingError: there is nothing to learn from, or the loss is no longer a number.
        ConfigError, SlideError, AnnotationError, BundleError, ServerError, OutputError: as named.
    """
    check_writable(request.output_model)
    choose_device(request.gpu)
    keras.utils.set_random_seed(request.seed)
    with (
        _precision(request.precision),
        checkpoints_on_server(request, agreed_settings(request), work_folder(request)) as remote,
    ):
        return _train(request, remote, progress)


@contextmanager
def _precision(policy: Precision) -> Iterator[None]:
    """Layers made in the block compute in this precision; Keras has it as a global."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _train(
    request: TrainRequest, remote: RemoteCheckpoints | None, progress: Progress
) -> TrainResult:
    opened = open_slides(request, progress)
    learn, held_out, classes = opened.learn, opened.held_out, opened.classes
    config = network_config(request, classes)
    network = _first_network(request, config, classes)
    scales = Scales(work_mpp=request.work_mpp, downsamples=request.wsi_downsample)
    sampler = PatchSampler(
        slides=learn,
        label_count=classes.label_count,
        side=config.crop_size,
        scales=scales,
        augmentation=Augmentation(request),
        settings=request,
    )
    held = hold_out_patches(held_out, config.crop_size, scales, VALIDATION_PATCHES, request.seed)
    run = Run(
        request=request,
        config=config,
        network=network,
        classes=classes,
        held_out=held,
        remote=remote,
    )
    run.fit(sampler, progress)
    card = make_card(request, config, classes=classes, slides=learn, metrics=run.metrics)
    save_bundle(network, card, request.output_model)
    run.forget_checkpoints()
    return TrainResult(
        model=request.output_model, steps=request.steps, loss=run.loss, metrics=run.metrics
    )


def network_config(request: TrainRequest, classes: ClassList) -> DeepLabV3PlusConfig:
    """The network that a request asks for."""
    config = DeepLabV3PlusConfig(
        label_count=classes.label_count,
        backbone=request.backbone,
        depth_multiplier=request.depth_multiplier,
        atrous_rates=request.atrous_rates,
        output_stride=request.output_stride,
        aspp_filters=request.aspp_filters,
        decoder_filters=request.decoder_filters,
        drop_path_keep_prob=request.drop_path_keep_prob,
    )
    stride = config.coarsest_stride
    return replace(config, crop_size=math.ceil((request.patch_size - 1) / stride) * stride + 1)


def _first_network(
    request: TrainRequest, config: DeepLabV3PlusConfig, classes: ClassList
) -> keras.Model:
    """A network to start from, with what an initial model gives it."""
    family = family_of(config)
    network = family.build(config)
    if request.initial_model:
        fresh = family.fresh_layers(request)
        log.info(start_from(network, config, classes, request.initial_model, fresh=fresh).summary())
    if not request.batch_norm:
        freeze_batch_norm(network)
    return network


def make_card(
    request: TrainRequest,
    config: DeepLabV3PlusConfig,
    *,
    classes: ClassList,
    slides: Sequence[AnnotatedSlide],
    metrics: Mapping[str, float],
) -> Card:
    """What the bundle of a training says of itself."""
    seen = [request.work_mpp]
    if request.wsi_downsample:
        seen = [s.slide.mpp.mean * factor for s in slides for factor in request.wsi_downsample]
    # The middle one on a scale of ratios; augmentation has shown the network the rest of the range.
    work_mpp = math.exp((math.log(min(seen)) + math.log(max(seen))) / 2)
    stride = config.coarsest_stride
    halo = math.ceil((config.crop_size // 2 + HALO_MARGIN) / stride) * stride
    return Card(
        config=config,
        classes=classes,
        mpp_work=work_mpp,
        mpp_range=(min(seen) / SCALE_MARGIN, max(seen) * SCALE_MARGIN),
        halo=halo,
        tile=max(1025, 6 * halo + 1),  # at least 44 % of what is read is kept
        trained_on=f"{len(slides)} slides of {Path(request.source).name}",
        training={
            "steps": request.steps,
            "batch_size": request.batch_size,
            "seed": request.seed,
            "augment": request.augment,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        metrics=metrics,
        versions={
            "histomics-deeplab": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    )
