"""Patch classifiers that timm trained: their state dicts and whole networks, in any file.

And those of WSSS-Tissue's first stage, whose encoder is resnet38d.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from deeplab.bundles.importers.shown_channels import channels_named
from deeplab.bundles.importers.stored_tensors import StoredTensors, check_names
from deeplab.bundles.importers.timm_names import IGNORED, SIGNS, TIMMS, count_channels, recognise
from deeplab.bundles.importers.torch_encoders import LAYOUTS, read_value, stored_shape
from deeplab.bundles.weights import named_weights
from deeplab.config.patch_classifier import MAX_CLASSES, PatchClassifierConfig, suggested_side
from deeplab.config.patch_encoders import (
    PATCH_ENCODERS,
    Problem,
    ResNet38Facts,
    SwinFacts,
    VitFacts,
)
from deeplab.errors import CheckpointError
from deeplab.models.patch_classifier.network import build

LOGITS = "logits/kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedClassifier:
    """A network with the weights of a checkpoint.

    Attributes:
        config: The knobs, worked out from names and shapes.
        network: Built from them.
        taken: Number of variables that it took.
        skipped: Names of those that say nothing of the network.
    """

    config: PatchClassifierConfig
    network: keras.Model
    taken: int
    skipped: tuple[str, ...]


def is_classifier(tensors: StoredTensors) -> bool:
    """Tell whether the tensors are those of a patch classifier, or of its encoder alone."""
    return recognise(tensors.shapes) is not None


def infer_classifier(
    tensors: StoredTensors,
    *,
    crop_size: int | None,
    problem: Problem | None,
    architecture: str | None = None,
    channels: tuple[str, ...] = (),
) -> PatchClassifierConfig:
    """Return the knobs of the network that has these tensors; no value is read.

    Args:
        tensors: for which `is_classifier` holds.
        crop_size: side of its patches; None: what the tensors tell, or what is usual.
        architecture: that of an EfficientNet without "timm_" before it is one that timm has taken
            over from TensorFlow, tf_efficientnet_b0 to b7, which pads otherwise; no tensor tells.
        channels: names of those that it is shown; none: red, green and blue where it takes three,
            else numbered.
        problem: what its classes mean, which no tensor tells; None: one of them a patch, but of
            resnet38d any of them.

    Raises:
        CheckpointError: it is an encoder alone, or of patches of another size.
        ConfigError: the names are not as many as its channels.
    """
    backbone = recognise(tensors.shapes)
    if backbone is None:
        raise CheckpointError(tensors.path, "is no patch classifier of timm's")
    if architecture == backbone.removeprefix(TIMMS):
        backbone = architecture
    names = {layout.name_of(LOGITS) or LOGITS for layout in LAYOUTS[backbone]}
    counts = [tensors.shapes[name] for name in names if name in tensors.shapes]
    if not counts or len(counts[0]) < 2 or counts[0][0] < 1:
        raise CheckpointError(
            tensors.path,
            f"is the encoder {backbone} alone, without a layer of classes; it can start a "
            f"training (--initial_encoder) of network=patch_classifier with backbone={backbone}",
        )
    count = counts[0][0]
    if count > MAX_CLASSES:
        problem_said = f"tells {count:,} classes apart, and at most {MAX_CLASSES} can be shown; "
        raise CheckpointError(
            tensors.path,
            problem_said + "give it as the initial encoder of a training (--initial_encoder)",
        )
    return PatchClassifierConfig(
        classes=count,
        crop_size=_side(tensors, backbone, crop_size),
        problem=problem or _usual_problem(backbone, count),
        backbone=backbone,
        channels=channels_named(channels, _count_channels(tensors, backbone)),
    )


def _count_channels(tensors: StoredTensors, backbone: str) -> int:
    told = backbone if backbone in SIGNS else f"{TIMMS}{backbone}"
    return count_channels(tensors.shapes, told)


def _usual_problem(backbone: str, classes: int) -> Problem:
    """Return what classes mean in the program whose encoder this is."""
    if classes == 1 or isinstance(PATCH_ENCODERS.get(backbone), ResNet38Facts):
        return "multi_label"
    return "multi_class"


def _side(tensors: StoredTensors, backbone: str, asked: int | None) -> int:
    """Return the side of the patches that the network takes.

    Raises:
        CheckpointError: the tensors tell another one than is asked for.
    """
    told = _told_side(tensors, backbone)
    if told and asked and told != asked:
        problem = f"is of patches of {told} x {told} pixels, not of {asked}; leave crop-size away"
        raise CheckpointError(tensors.path, problem)
    return told or asked or suggested_side(backbone)


def _told_side(tensors: StoredTensors, backbone: str) -> int | None:
    facts = PATCH_ENCODERS.get(backbone)
    if isinstance(facts, VitFacts):
        cells = math.isqrt(max(0, tensors.shapes.get("pos_embed", (1, 1))[1] - 1))
        return cells * facts.patch or None
    # Old files hold what keeps the windows of a patch apart, (windows, ...).
    mask = tensors.shapes.get("layers.0.blocks.1.attn_mask")
    if isinstance(facts, SwinFacts) and mask:
        return math.isqrt(mask[0]) * facts.window * 4
    return None


def import_classifier(tensors: StoredTensors, config: PatchClassifierConfig) -> ImportedClassifier:
    """Build the network that the tensors are of, with their values.

    Names and shapes are compared before the first value is read.

    Raises:
        CheckpointError: one is missing, left over, of another shape, damaged or no finite number.
    """
    network = build(config)
    weights = named_weights(network)
    layout = max(
        LAYOUTS[config.backbone],
        key=lambda each: sum(each.name_of(name) in tensors.shapes for name in weights),
    )
    theirs = {layout.name_of(ours) or ours: ours for ours in weights}
    unused = [name for name in tensors.shapes if name not in theirs]
    skipped = tuple(name for name in unused if IGNORED.fullmatch(name))
    missing = [name for name in theirs if name not in tensors.shapes]
    left = sorted(set(unused) - set(skipped))
    check_names(tensors, config.describe(), missing=missing, left=left)
    for name, ours in theirs.items():
        wanted = stored_shape(ours, tuple(weights[ours].shape))
        # A layer of classes may be written as a convolution of one cell.
        accepted = (wanted, (*wanted, 1, 1)) if ours == LOGITS else (wanted,)
        if tensors.shapes[name] not in accepted:
            problem = f"has {name} of shape {tensors.shapes[name]}, where the network has {wanted}"
            raise CheckpointError(tensors.path, problem)
    for name, ours in theirs.items():
        weights[ours].assign(read_value(tensors, name, ours).reshape(weights[ours].shape))
    return ImportedClassifier(config=config, network=network, taken=len(theirs), skipped=skipped)
