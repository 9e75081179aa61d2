"""DeepLabV3+ of PyTorch, as WSSS-Tissue trains it for its second stage, and what it starts from.

Its names are those of a widespread port of DeepLab: a ResNet-101 as ImageNet's, of output stride
16, whose last block has a multi-grid of 1, 2, 4. The weights that trainings start from are the
same network of Pascal VOC's classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.hovernet_names import Rule
from deeplab.bundles.importers.stored_tensors import StoredTensors, check_names
from deeplab.bundles.importers.timm_names import IGNORED
from deeplab.bundles.importers.timm_names import name_of as torch_name
from deeplab.bundles.importers.torch_encoders import RESNET, read_value, stored_shape
from deeplab.bundles.weights import named_weights
from deeplab.config.backbones import Pixels
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.network import NetworkConfig
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.registry import family_of

CROP_SIZE = 224  # work pixels, the side of WSSS-Tissue's patches
BACKBONE = "resnet_101"
LOGITS = "decoder.last_conv.8"
# Weights that every such network has, and no other known one.
SIGNS = ("aspp.aspp1.atrous_conv.weight", f"{LOGITS}.weight", "backbone.layer3.22.conv3.weight")
# The logit of a background that the file has none of: lower than any that a network gives.
NEVER = -100.0
RULES: tuple[Rule, ...] = (
    *((ours, f"backbone.{theirs}") for ours, theirs in RESNET if ours.startswith("backbone")),
    (r"aspp\.point", "aspp.aspp1.atrous_conv"),
    (r"aspp\.point\.norm", "aspp.aspp1.bn"),
    *(
        (rf"aspp\.atrous_{branch}{ours}", f"aspp.aspp{branch + 1}.{theirs}")
        for branch in (1, 2, 3)
        for ours, theirs in (("", "atrous_conv"), (r"\.norm", "bn"))
    ),
    (r"image_pooling", "aspp.global_avg_pool.1"),
    (r"image_pooling\.norm", "aspp.global_avg_pool.2"),
    (r"aspp\.project", "aspp.conv1"),
    (r"aspp\.project\.norm", "aspp.bn1"),
    (r"decoder\.low_level", "decoder.conv1"),
    (r"decoder\.low_level\.norm", "decoder.bn1"),
    (r"decoder\.conv_0", "decoder.last_conv.0"),
    (r"decoder\.conv_0\.norm", "decoder.last_conv.1"),
    (r"decoder\.conv_1", "decoder.last_conv.4"),
    (r"decoder\.conv_1\.norm", "decoder.last_conv.5"),
    (r"logits", LOGITS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTorchDeepLab:
    """A network with the weights of a file.

    Attributes:
        network: Built from its config.
        taken: Number of variables that it took.
        skipped: Names of those that say nothing of the network.
        has_background: Whether the file's first output is the background's; else ours never wins.
    """

    network: keras.Model
    taken: int
    skipped: tuple[str, ...]
    has_background: bool


def is_torch_deeplab(tensors: StoredTensors) -> bool:
    """Tell whether the tensors are named as those of such a network."""
    return all(name in tensors.shapes for name in SIGNS)


def takes_torch_deeplab(config: NetworkConfig) -> bool:
    """Tell whether a network of a config may start from such a file: it has the same encoder."""
    return isinstance(config, DeepLabV3PlusConfig) and config.backbone == BACKBONE


def infer_torch_deeplab(
    tensors: StoredTensors,
    *,
    crop_size: int | None,
    normalisation: Pixels | None,
    named: int | None,
) -> DeepLabV3PlusConfig:
    """Return the knobs of the network that has these tensors; no value is read.

    Args:
        tensors: for which `is_torch_deeplab` holds.
        crop_size: side of its patches, which no tensor tells; None: 224.
        normalisation: what its training did to pixels; None: 0 to 255 to 0 to 1.
        named: how many classes its user names. One less than there are outputs: the first output
            is the background's. As many, or None: each output is a class.

    Raises:
        CheckpointError: it is of a network that cannot be built.
    """
    outputs = sum(tensors.shapes[f"{LOGITS}.weight"][:1])
    background = named is not None and named == outputs - 1
    try:
        return DeepLabV3PlusConfig(
            label_count=outputs if background else outputs + 1,
            backbone=BACKBONE,
            multi_grid=(1, 2, 4),
            crop_size=crop_size or CROP_SIZE,
            dropout=0.5,
            convolutions="full",
            normalisation=normalisation or "zero_to_one",
        )
    except ConfigError as error:
        raise CheckpointError(tensors.path, f"is of a network in which {error}") from error


def import_torch_deeplab(
    tensors: StoredTensors, config: DeepLabV3PlusConfig
) -> ImportedTorchDeepLab:
    """Build the network that the tensors are of, with their values.

    Names and shapes are compared before the first value is read.

    Raises:
        CheckpointError: one is missing, left over, of another shape, damaged or no finite number.
    """
    network = family_of(config).build(config)
    weights = named_weights(network)
    theirs = {torch_name(ours, RULES) or ours: ours for ours in weights}
    unused = [name for name in tensors.shapes if name not in theirs]
    skipped = tuple(name for name in unused if IGNORED.fullmatch(name))
    missing = [name for name in theirs if name not in tensors.shapes]
    left = sorted(set(unused) - set(skipped))
    check_names(tensors, config.describe(), missing=missing, left=left)
    outputs = tensors.shapes[f"{LOGITS}.weight"][0]
    for name, ours in theirs.items():
        wanted = stored_shape(ours, tuple(weights[ours].shape))
        if name.startswith(LOGITS):
            wanted = (outputs, *wanted[1:])
        if tensors.shapes[name] != wanted:
            problem = f"has {name} of shape {tensors.shapes[name]}, where the network has {wanted}"
            raise CheckpointError(tensors.path, problem)
    has_background = outputs == config.label_count
    for name, ours in theirs.items():
        value = _as_ours(ours, read_value(tensors, name, ours))
        if ours.startswith("logits") and not has_background:
            value = _with_background(value)
        weights[ours].assign(value)
    return ImportedTorchDeepLab(
        network=network, taken=len(theirs), skipped=skipped, has_background=has_background
    )


def read_torch_deeplab(
    tensors: StoredTensors, network: keras.Model
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a file under our names, as far as `network` has them, to train on from.

    Args:
        tensors: for which `is_torch_deeplab` holds.
        network: A DeepLabV3+ on the same backbone.

    Raises:
        CheckpointError: a value is damaged or no finite number.
    """
    names = {ours: torch_name(ours, RULES) for ours in named_weights(network)}
    return {
        ours: _as_ours(ours, read_value(tensors, name, ours))
        for ours, name in names.items()
        if name is not None and name in tensors.shapes
    }


def _as_ours(ours: str, value: NDArray[Any]) -> NDArray[Any]:
    """Return a value with the branches of the ASPP in our order: theirs has the pooling last."""
    if ours != "aspp.project/kernel":
        return value
    pooling = value.shape[2] // 5
    return np.roll(value, pooling, axis=2)


def _with_background(value: NDArray[Any]) -> NDArray[Any]:
    """Return weights of logits (..., classes) with those of a background that never wins before."""
    first = np.full((*value.shape[:-1], 1), 0.0 if value.ndim > 1 else NEVER, value.dtype)
    return np.concatenate([first, value], axis=-1)
