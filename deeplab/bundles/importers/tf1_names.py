"""What TensorFlow 1 DeepLab calls the weights that we have: one row a backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# A pattern of our layer names, and the scope of the same layer there.
Rule = tuple[str, str]

HEAD_RULES: tuple[Rule, ...] = (
    (r"image_pooling", "image_pooling"),
    (r"aspp\.point", "aspp0"),
    (r"aspp\.atrous_(\d)\.(depthwise|pointwise)", r"aspp\1_\2"),
    (r"aspp\.project", "concat_projection"),
    (r"decoder\.low_level", "decoder/feature_projection0"),
    (r"decoder\.conv_(\d)\.(depthwise|pointwise)", r"decoder/decoder_conv\1_\2"),
    (r"decoder\.conv_0", "decoder/decoder_conv0/decoder_conv0_1"),
    (r"decoder\.conv_1", "decoder/decoder_conv0/decoder_conv0_2"),
    (r"decoder\.sum\.(depthwise|pointwise)", r"decoder/decoder_split_sep_conv0_\1"),
    (r"decoder\.sum", "decoder/decoder_conv0"),
    (r"logits", "logits/semantic"),
)
# Optimisers' and counters' variables, of no use outside of the training they belong to.
NOT_OF_THE_NETWORK = re.compile(
    r"(^|/)(global_step|Momentum|Adam(_\d)?|RMSProp(_\d)?|beta\d_power|"
    r"ExponentialMovingAverage|learning_rate)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneNames:
    """The names of one backbone.

    Attributes:
        sign: A variable that a checkpoint has if it is of this backbone, and of no other.
        rules: From our names to its.
        classifier: Scopes of its ImageNet classifier.
        widths: Layers and their channels at width 1, of a backbone that has several widths.
        multiples: What channels may have been rounded to at other widths.
    """

    sign: str
    rules: tuple[Rule, ...]
    classifier: tuple[str, ...]
    widths: Mapping[str, int] = field(default_factory=dict)
    multiples: tuple[int, ...] = (8,)


def _xception(scope: str) -> BackboneNames:
    module = rf"{scope}/\1/\2/\3/xception_module"
    unit = r"backbone\.(\w+_flow)\.(block\d)\.(unit_\d+)"
    return BackboneNames(
        sign=f"{scope}/entry_flow/conv1_1/weights",
        rules=(
            (r"backbone\.entry_flow\.(conv1_\d)", rf"{scope}/entry_flow/\1"),
            (rf"{unit}\.shortcut", rf"{module}/shortcut"),
            (
                rf"{unit}\.(separable_conv\d)\.(depthwise|pointwise)",
                rf"{module}/\4_\5",
            ),
        ),
        classifier=(f"{scope}/logits",),
    )


def _resnet_v1(scope: str, *, module: str, stem: str) -> BackboneNames:
    return BackboneNames(
        # The beta variants differ from the others in their first convolutions, not in their scope.
        sign=f"{scope}/{stem}/weights",
        rules=(
            (r"backbone\.(conv1(_\d)?)", rf"{scope}/\1"),
            (
                r"backbone\.(block\d)\.(unit_\d+)\.(conv\d|shortcut)",
                rf"{scope}/\1/\2/{module}/\3",
            ),
        ),
        classifier=(f"{scope}/logits",),
    )


def _mobilenet_v3(scope: str, *, sign: str, widths: Mapping[str, int]) -> BackboneNames:
    part = r"(expand|depthwise|project)"
    return BackboneNames(
        sign=f"{scope}/{sign}/weights",
        rules=(
            (r"backbone\.stem", f"{scope}/Conv"),
            (r"backbone\.last", f"{scope}/Conv_1"),
            *(
                (rf"backbone\.bottleneck_{number}\.{layer}", f"{scope}/expanded_conv{block}/{name}")
                for number, block, last in (("0", "", r"\1"), (r"(\d+)", r"_\1", r"\2"))
                for layer, name in (
                    (part, last),
                    ("squeeze", "squeeze_excite/Conv"),
                    ("excite", "squeeze_excite/Conv_1"),
                )
            ),
        ),
        classifier=(f"{scope}/Logits", f"{scope}/Conv_2"),
        widths={f"{scope}/{layer}": channels for layer, channels in widths.items()},
    )


def _nas(scope: str, *, filters: int) -> BackboneNames:
    cell, side = r"backbone\.(cell_\d+)", r"\.pair_(\d)\.(left|right)"
    there = rf"{scope}/\1/comb_iter_\2/\3"
    return BackboneNames(
        sign=f"{scope}/conv0/weights",
        # Batch norms have scopes beside those of their convolutions.
        rules=(
            (r"backbone\.(conv\d)", rf"{scope}/\1"),
            (r"backbone\.(conv\d)\.norm", rf"{scope}/\1_bn"),
            (rf"{cell}\.previous", rf"{scope}/\1/prev_1x1"),
            (rf"{cell}\.previous\.norm", rf"{scope}/\1/prev_bn"),
            (rf"{cell}\.begin", rf"{scope}/\1/1x1"),
            (rf"{cell}\.begin\.norm", rf"{scope}/\1/beginning_bn"),
            (rf"{cell}{side}\.((separable|atrous)_\w+)", rf"{there}/\4"),
            (rf"{cell}{side}\.separable_(\w+)\.norm", rf"{there}/bn_sep_\4"),
            (rf"{cell}{side}\.atrous_(\w+)\.norm", rf"{there}/bn_atr_\4"),
            (rf"{cell}{side}\.identity", rf"{there}/1x1"),
            (rf"{cell}{side}\.identity\.norm", rf"{there}/bn_1"),
        ),
        classifier=(
            *(f"{scope}/{head}" for head in ("logits", "classification_head_conv")),
            f"{scope}/classification_head_bn",
            *(
                f"{scope}/downsample_os{stride}_{part}"
                for stride in (16, 32)
                for part in ("conv", "bn")
            ),
        ),
        widths={f"{scope}/cell_0/1x1": filters},
        multiples=(1,),
    )


NAMES: Mapping[str, BackboneNames] = MappingProxyType(
    {
        "mobilenet_v2": BackboneNames(
            sign="MobilenetV2/Conv/weights",
            rules=(
                (r"backbone\.stem", "MobilenetV2/Conv"),
                (r"backbone\.bottleneck_0\.(\w+)", r"MobilenetV2/expanded_conv/\1"),
                (r"backbone\.bottleneck_(\d+)\.(\w+)", r"MobilenetV2/expanded_conv_\1/\2"),
            ),
            classifier=("MobilenetV2/Logits", "MobilenetV2/Conv_1"),
            widths={
                "MobilenetV2/Conv": 32,
                "MobilenetV2/expanded_conv_1/project": 24,
                "MobilenetV2/expanded_conv_16/project": 320,
            },
            multiples=(8, 1),
        ),
        # Both have the scope; only the large one has so many blocks, only the small one gates the
        # first of them.
        "mobilenet_v3_large_seg": _mobilenet_v3(
            "MobilenetV3",
            sign="expanded_conv_14/project",
            widths={"Conv": 16, "expanded_conv_14/project": 80, "Conv_1": 480},
        ),
        "mobilenet_v3_small_seg": _mobilenet_v3(
            "MobilenetV3",
            sign="expanded_conv/squeeze_excite/Conv",
            widths={"Conv": 16, "expanded_conv_10/project": 48, "Conv_1": 288},
        ),
        "mobilenet_edgetpu": _mobilenet_v3(
            "MobilenetEdgeTPU",
            sign="Conv",
            widths={"Conv": 32, "expanded_conv_21/project": 192, "Conv_1": 1280},
        ),
        "nas_pnasnet": _nas("pnasnet", filters=40),
        "nas_hnasnet": _nas("hnasnet", filters=20),
        **{
            f"{scope}{suffix}": _resnet_v1(scope, module=module, stem=stem)
            for scope, module in (
                ("resnet_v1_18", "lite_bottleneck_v1"),
                ("resnet_v1_50", "bottleneck_v1"),
                ("resnet_v1_101", "bottleneck_v1"),
            )
            for suffix, stem in (("", "conv1"), ("_beta", "conv1_1"))
        },
        "xception_41": _xception("xception_41"),
        "xception_65": _xception("xception_65"),
        "xception_71": _xception("xception_71"),
    }
)


def tf1_name(weight: str, backbone: str) -> str:
    """Return the TensorFlow 1 name of our weight `<layer>/<weight>`.

    Raises:
        KeyError: no rule speaks of its layer.
    """
    layer, _, kind = weight.partition("/")
    rules = (*NAMES[backbone].rules, *HEAD_RULES)
    # A batch norm's own rule first; most have none and lie inside of their convolution's scope.
    for name, inside in ((layer, ""), (layer.removesuffix(".norm"), "/BatchNorm")):
        for pattern, template in rules:
            if match := re.fullmatch(pattern, name):
                scope = match.expand(template) + inside
                return f"{scope}/{_variable(kind, scope)}"
    raise KeyError(weight)


def _variable(kind: str, scope: str) -> str:
    """Return the original's name of a kernel or bias; other variables have the same names."""
    if kind == "kernel":
        return "depthwise_weights" if scope.endswith("depthwise") else "weights"
    return "biases" if kind == "bias" else kind.replace("_kernel", "_weights")
