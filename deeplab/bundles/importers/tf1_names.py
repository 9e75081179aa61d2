"""What TensorFlow 1 DeepLab calls the weights that we have: one row a backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
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
    (r"logits", "logits/semantic"),
)
# Optimisers' and counters' variables, of no use outside of the training they belong to.
NOT_OF_THE_NETWORK = re.compile(
    r"(^|/)(global_step|Momentum|Adam(_\d)?|RMSProp(_\d)?|beta\d_power|"
    r"ExponentialMovingAverage|learning_rate)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of one backbone: its scope, its rules, its ImageNet classifier's scopes."""

    scope: str
    rules: tuple[Rule, ...]
    classifier: tuple[str, ...]


def _xception(scope: str) -> Names:
    module = rf"{scope}/\1/\2/\3/xception_module"
    unit = r"backbone\.(\w+_flow)\.(block\d)\.(unit_\d+)"
    return Names(
        scope=scope,
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


NAMES: Mapping[str, Names] = MappingProxyType(
    {
        "mobilenet_v2": Names(
            scope="MobilenetV2",
            rules=(
                (r"backbone\.stem", "MobilenetV2/Conv"),
                (r"backbone\.bottleneck_0\.(\w+)", r"MobilenetV2/expanded_conv/\1"),
                (r"backbone\.bottleneck_(\d+)\.(\w+)", r"MobilenetV2/expanded_conv_\1/\2"),
            ),
            classifier=("MobilenetV2/Logits", "MobilenetV2/Conv_1"),
        ),
        "xception_41": _xception("xception_41"),
        "xception_65": _xception("xception_65"),
        "xception_71": _xception("xception_71"),
    }
)


def tf1_name(weight: str, backbone: str) -> str:
    """The TensorFlow 1 name of our weight `<layer>/<weight>`.

    Raises:
        KeyError: no rule speaks of its layer.
    """
    layer, _, kind = weight.partition("/")
    stem = layer.removesuffix(".norm")
    for pattern, scope in (*NAMES[backbone].rules, *HEAD_RULES):
        if match := re.fullmatch(pattern, stem):
            scope = match.expand(scope)
            break
    else:
        raise KeyError(weight)
    if stem != layer:
        return f"{scope}/BatchNorm/{kind}"
    if kind == "bias":
        return f"{scope}/biases"
    return f"{scope}/{'depthwise_weights' if scope.endswith('depthwise') else 'weights'}"
