"""HoVer-Net's published weights: PyTorch's `.tar`, and the `.npz` of its first, TensorFlow code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.hovernet_names import PROGRAMS, PYTORCH, HoVerNetNames
from deeplab.bundles.importers.stored_tensors import StoredTensors, check_names
from deeplab.bundles.weights import named_weights
from deeplab.config.hovernet import FORMS, PREACT, HoverNetConfig, Mode
from deeplab.errors import CheckpointError
from deeplab.models.hovernet.network import build

MODES: Mapping[int, Mode] = MappingProxyType({5: "original", 3: "fast"})  # by the kernels' side
FIRST = "decoder.np.u3.conva/kernel"
TYPES = "logits.tp/bias"
# Beginnings of names of other networks, to say what a file is of.
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        "encoder.": "a U-Net or U-Net++",
        "backbone.": "DeepLabV3+ or another network for labels",
        "resnet.": "DeepLabV3+",
        "xception_65/": "DeepLabV3+ of TensorFlow 1",
        "_conv_stem.": "an EfficientNet, an encoder alone",
        "layer1.": "a ResNet, an encoder alone",
        "blocks.": "an encoder of timm's",
        "stages.0.blocks.0.conv2_kxk.": "CoAtNet or another MaxxViT of timm's, which is not known",
        "stages.0.0.skipinit_gain": "an NFNet of timm's, which is not known",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedHoverNet:
    """A network with the weights of a checkpoint.

    Attributes:
        config: The knobs, worked out from names and shapes.
        network: Built from them.
        taken: Number of variables that it took.
        skipped: Names of those that say nothing of the network.
    """

    config: HoverNetConfig
    network: keras.Model
    taken: int
    skipped: tuple[str, ...]


def program_of(tensors: StoredTensors) -> HoVerNetNames | None:
    """Return whose names the tensors have; None if they are not HoVer-Net's."""
    return next((names for names in PROGRAMS if names.sign in tensors.shapes), None)


def infer_hovernet(tensors: StoredTensors) -> HoverNetConfig:
    """Return the knobs of the network that has these tensors; no value is read.

    Raises:
        CheckpointError: it is another network, an encoder alone, or none that we can build.
    """
    return _infer(tensors, _names_of(tensors))


def _names_of(tensors: StoredTensors) -> HoVerNetNames:
    names = program_of(tensors)
    if names is None:
        raise CheckpointError(tensors.path, foreign_sentence(tensors))
    return names


def _infer(tensors: StoredTensors, names: HoVerNetNames) -> HoverNetConfig:
    first = tensors.shapes.get(names.name_of(FIRST))
    if first is None:
        raise CheckpointError(
            tensors.path,
            "has an encoder of HoVer-Net and no decoder; it can start a training (--initial-model) "
            "of network=hovernet with backbone=preact_resnet50, but finds no nuclei",
        )
    side = first[names.to_kernel[0]] if len(first) == 4 else 0
    if side not in MODES:
        problem = f"has decoders whose kernels are {side} wide, where HoVer-Net's are 3 or 5"
        raise CheckpointError(tensors.path, problem)
    types = tensors.shapes.get(names.name_of(TYPES), (1,))
    if len(types) != 1 or not 1 <= types[0] <= 255:
        raise CheckpointError(tensors.path, f"has a number of types that makes no sense: {types}")
    mode = MODES[side]
    return HoverNetConfig(
        type_count=types[0] - 1,
        mode=mode,
        backbone=PREACT,
        crop_size=FORMS[mode].crop_size,
        convention="original",
        gradients="cross_axis",
    )


def import_hovernet(tensors: StoredTensors) -> ImportedHoverNet:
    """Build the network that the tensors are of, with their values.

    Names and shapes are compared before the first value is read.

    Raises:
        CheckpointError: they are another network's, or one is missing, left over, of another
            shape, damaged or no finite number.
    """
    names = _names_of(tensors)
    config = _infer(tensors, names)
    network = build(config)
    weights = named_weights(network)
    theirs = {names.name_of(name): name for name in weights}
    unused = [name for name in tensors.shapes if name not in theirs]
    skipped = tuple(name for name in unused if re.fullmatch(names.ignored, name))
    missing = [name for name in theirs if name not in tensors.shapes]
    left = sorted(set(unused) - set(skipped))
    check_names(tensors, config.describe(), missing=missing, left=left)
    for name, ours in theirs.items():
        wanted = names.shape_of(tuple(weights[ours].shape))
        if tensors.shapes[name] != wanted:
            problem = f"has {name} of shape {tensors.shapes[name]}, where the network has {wanted}"
            raise CheckpointError(tensors.path, problem)
    for name, ours in theirs.items():
        weights[ours].assign(_value(tensors, names, name))
    return ImportedHoverNet(config=config, network=network, taken=len(theirs), skipped=skipped)


def read_hovernet_weights(
    tensors: StoredTensors, network: keras.Model
) -> dict[str, NDArray[np.float32]]:
    """Return values under our names, of those weights of `network` that the file has.

    For training on: a file of the encoder alone, learnt on ImageNet, has the backbone only.

    Raises:
        CheckpointError: they are another network's, damaged or not finite.
    """
    names = _names_of(tensors)
    theirs = {}
    for ours in named_weights(network):
        try:
            name = names.name_of(ours)
        except KeyError:
            continue  # of a light decoder, which none of these files has
        if name in tensors.shapes:
            theirs[ours] = name
    return {ours: _value(tensors, names, name) for ours, name in theirs.items()}


def foreign_sentence(tensors: StoredTensors) -> str:
    """Return what to say of tensors that are not HoVer-Net's."""
    first = next(iter(tensors.shapes), "")
    for beginning, network in OTHERS.items():
        if any(name.startswith(beginning) for name in tensors.shapes):
            return f"is not of HoVer-Net but of {network}; its first tensor is {first[:100]}"
    return (
        f"is not of HoVer-Net, which has a {PYTORCH.sign}; its first tensor is {first[:100]}, and "
        "of other networks in files of tensors none can be imported"
    )


def _value(tensors: StoredTensors, names: HoVerNetNames, name: str) -> NDArray[np.float32]:
    value = tensors.read(name)
    if value.dtype.kind != "f":
        raise CheckpointError(tensors.path, f"has {name} in numbers that are no fractions")
    if not np.isfinite(value).all():
        raise CheckpointError(tensors.path, f"has a value that is not a finite number in {name}")
    return names.to_ours(value)
