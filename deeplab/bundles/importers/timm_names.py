"""What timm calls the weights of a patch classifier, and what tells of which encoder they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from deeplab.bundles.importers.hovernet_names import PYTORCH, Rule
from deeplab.config.channels import MAX_CHANNELS
from deeplab.config.patch_encoders import (
    PATCH_ENCODERS,
    ConvNextFacts,
    ResNet38Facts,
    SwinFacts,
    VitFacts,
)
from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS

Shapes = Mapping[str, tuple[int, ...]]

_BLOCK = r"backbone\.block_(\d+)"
_STAGE = r"backbone\.stage(\d)"
RESNET_HEAD: tuple[Rule, ...] = ((r"logits", "fc"),)
VIT: tuple[Rule, ...] = (
    (r"backbone\.patch", "patch_embed.proj"),
    (r"backbone\.norm", "norm"),
    (rf"{_BLOCK}\.(norm\d)", r"blocks.\1.\2"),
    (rf"{_BLOCK}\.(qkv|proj)", r"blocks.\1.attn.\2"),
    (rf"{_BLOCK}\.mlp(\d)", r"blocks.\1.mlp.fc\2"),
    (r"logits", "head"),
)
SWIN: tuple[Rule, ...] = (
    (r"backbone\.patch", "patch_embed.proj"),
    (r"backbone\.patch\.norm", "patch_embed.norm"),
    (r"backbone\.norm", "norm"),
    (rf"{_STAGE}\.block_(\d+)\.(norm\d)", r"layers.\1.blocks.\2.\3"),
    (rf"{_STAGE}\.block_(\d+)\.(qkv|proj)", r"layers.\1.blocks.\2.attn.\3"),
    (rf"{_STAGE}\.block_(\d+)\.mlp(\d)", r"layers.\1.blocks.\2.mlp.fc\3"),
    (rf"{_STAGE}\.merge\.norm", r"layers.\1.downsample.norm"),
    (rf"{_STAGE}\.merge\.reduce", r"layers.\1.downsample.reduction"),
    (r"logits", "head.fc"),
)
# Before timm 0.8: merging lies at the end of the stage before.
OLD_SWIN: tuple[Rule, ...] = (
    *(rule for rule in SWIN if "merge" not in rule[0] and rule[0] != "logits"),
    *(
        (rf"backbone\.stage{stage}\.merge\.{ours}", f"layers.{stage - 1}.downsample.{theirs}")
        for stage in (1, 2, 3)
        for ours, theirs in (("norm", "norm"), ("reduce", "reduction"))
    ),
    (r"logits", "head"),
)
CONVNEXT: tuple[Rule, ...] = (
    (r"backbone\.stem", "stem.0"),
    (r"backbone\.stem\.norm", "stem.1"),
    (rf"{_STAGE}\.down\.norm", r"stages.\1.downsample.0"),
    (rf"{_STAGE}\.down", r"stages.\1.downsample.1"),
    (rf"{_STAGE}\.block_(\d+)\.depthwise", r"stages.\1.blocks.\2.conv_dw"),
    (rf"{_STAGE}\.block_(\d+)\.norm", r"stages.\1.blocks.\2.norm"),
    (rf"{_STAGE}\.block_(\d+)\.mlp(\d)", r"stages.\1.blocks.\2.mlp.fc\3"),
    (r"backbone\.norm", "head.norm"),
    (r"logits", "head.fc"),
)
# Weights that stand alone there, by what ours are called as a whole.
ALONE: tuple[Rule, ...] = (
    (r"backbone\.tokens/(cls_token|pos_embed)", r"\1"),
    (
        rf"{_STAGE}\.block_(\d+)\.attention/relative_position_bias_table",
        r"layers.\1.blocks.\2.attn.relative_position_bias_table",
    ),
    (rf"{_STAGE}\.block_(\d+)\.scale/gamma", r"stages.\1.blocks.\2.gamma"),
)
TIMMS = "timm_"  # before the name of an EfficientNet that is padded as timm's own are
# What timm keeps beside weights: it follows from the sizes.
IGNORED = re.compile(r".*\.(num_batches_tracked|relative_position_index|attn_mask)")


def name_of(weight: str, rules: Sequence[Rule]) -> str | None:
    """Return what timm calls our weight `<layer>/<weight>`; None where it has none of that name."""
    for pattern, template in ALONE:
        if match := re.fullmatch(pattern, weight):
            return match.expand(template)
    layer, _, kind = weight.rpartition("/")
    for pattern, template in rules:
        if (match := re.fullmatch(pattern, layer)) and kind in PYTORCH.kinds:
            return match.expand(template) + PYTORCH.kinds[kind]
    return None


def recognise(shapes: Shapes) -> str | None:
    """Return the encoder of the patch classifier whose tensors these are; None: of none known."""
    for name, (sign, beyond) in SIGNS.items():
        if beyond not in shapes and all(_fits(shapes, each, sign[each]) for each in sign):
            return name
    return None


def _fits(shapes: Shapes, name: str, wanted: tuple[int, ...]) -> bool:
    """Tell whether a tensor has a shape; if it is the first, whatever channels it takes."""
    found = shapes.get(name, ())
    if len(found) != len(wanted):
        return False
    return all(
        here == there or (there == SHOWN and 1 <= here <= MAX_CHANNELS)
        for here, there in zip(found, wanted, strict=True)
    )


def count_channels(shapes: Shapes, backbone: str) -> int:
    """Return how many channels the first layer of a recognised encoder takes."""
    sign, _ = SIGNS[backbone]
    first = next(name for name, shape in sign.items() if SHOWN in shape)
    return shapes[first][1]


# What such a network's file has, its first layer among it, and a tensor that it has not.
Sign = tuple[Shapes, str]
SHOWN = 0  # in the shape of a first layer: the channels that the network is shown


def _vit(facts: VitFacts) -> Sign:
    width, side = facts.width, facts.patch
    sign = {
        "patch_embed.proj.weight": (width, SHOWN, side, side),
        f"blocks.{facts.depth - 1}.attn.qkv.weight": (3 * width, width),
    }
    return sign, f"blocks.{facts.depth}.attn.qkv.weight"


def _swin(facts: SwinFacts) -> Sign:
    table, middle = (2 * facts.window - 1) ** 2, facts.depths[2]
    sign = {
        "patch_embed.proj.weight": (facts.width, SHOWN, 4, 4),
        "layers.0.blocks.0.attn.relative_position_bias_table": (table, facts.heads[0]),
        f"layers.2.blocks.{middle - 1}.norm1.weight": (4 * facts.width,),
    }
    return sign, f"layers.2.blocks.{middle}.norm1.weight"


def _convnext(facts: ConvNextFacts) -> Sign:
    width, middle = facts.widths[0], facts.depths[2]
    sign = {
        "stem.0.weight": (width, SHOWN, 4, 4),
        "stages.0.blocks.0.gamma": (width,),
        f"stages.2.blocks.{middle - 1}.gamma": (facts.widths[2],),
    }
    return sign, f"stages.2.blocks.{middle}.gamma"


def _resnet38(facts: ResNet38Facts) -> Sign:
    width, _ = facts.bottlenecks[-1]
    sign = {
        "conv1a.weight": (64, SHOWN, 3, 3),
        "b4_5.conv_branch2b1.weight": (512, 512, 3, 3),
        "b7.conv_branch2b2.weight": (width, width // 2, 1, 1),
    }
    return sign, "b8.conv_branch2b2.weight"


def _resnet(units: int, last: str, width: int) -> Sign:
    """Return the sign of a resnet: units of its third block, and a unit's last norm."""
    sign = {
        "conv1.weight": (64, SHOWN, 7, 7),
        f"layer1.0.{last}.weight": (width,),
        f"layer3.{units - 1}.bn1.weight": (256,),
    }
    return sign, f"layer3.{units}.bn1.weight"


def _efficientnet(name: str) -> Sign:
    """Return the sign of timm's own EfficientNet; those that it took over have the same names."""
    layout = EFFICIENTNETS[name]
    stage = layout.stages[5]  # the deepest, whose blocks are as many in no two sizes of one width
    sign = {
        "conv_stem.weight": (layout.stem, SHOWN, 3, 3),
        "conv_head.weight": (layout.head, layout.stages[-1].filters, 1, 1),
        f"blocks.5.{stage.blocks - 1}.bn1.weight": (stage.expansion * stage.filters,),
        # The lite ones have no gates.
        "blocks.0.0.se.conv_reduce.weight": (layout.stem // 4, layout.stem, 1, 1),
    }
    return sign, f"blocks.5.{stage.blocks}.bn1.weight"


_OF_KIND: Mapping[type, Callable[[Any], Sign]] = MappingProxyType(
    {VitFacts: _vit, SwinFacts: _swin, ConvNextFacts: _convnext, ResNet38Facts: _resnet38}
)
SIGNS: Mapping[str, Sign] = MappingProxyType(
    {
        # A basic unit has no third norm; that of a bottleneck has 256 channels.
        "resnet_50": _resnet(6, "bn3", 256),
        "resnet_101": _resnet(23, "bn3", 256),
        "resnet_18": _resnet(2, "bn2", 64),
        "resnet_34": _resnet(6, "bn2", 64),
        **{
            f"{TIMMS}efficientnet_b{size}": _efficientnet(f"{TIMMS}efficientnet_b{size}")
            for size in range(8)
        },
        **{name: _OF_KIND[type(facts)](facts) for name, facts in PATCH_ENCODERS.items()},
    }
)
