"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381)."""

from __future__ import annotations

from dataclasses import dataclass

from keras import layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.convolution import Norm, conv, depthwise
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class MobileNetV2Bottleneck:
    """One inverted residual: widen by `expansion`, filter, project to `filters`."""

    expansion: int
    filters: int
    stride: int = 1


# Table 2 of the paper, a row for each repetition.
BOTTLENECKS: tuple[MobileNetV2Bottleneck, ...] = (
    MobileNetV2Bottleneck(1, 16),
    MobileNetV2Bottleneck(6, 24, 2),
    MobileNetV2Bottleneck(6, 24),
    MobileNetV2Bottleneck(6, 32, 2),
    *(MobileNetV2Bottleneck(6, 32),) * 2,
    MobileNetV2Bottleneck(6, 64, 2),
    *(MobileNetV2Bottleneck(6, 64),) * 3,
    *(MobileNetV2Bottleneck(6, 96),) * 3,
    MobileNetV2Bottleneck(6, 160, 2),
    *(MobileNetV2Bottleneck(6, 160),) * 2,
    MobileNetV2Bottleneck(6, 320),
)
# Of which bottlenecks the decoder taps the widened map, before the next one halves it.
TAPS = {4: 2, 8: 5, 16: 12}
NARROW_TAP = 0  # the only one of stride 2, which is tapped as it leaves


def whole_channels(filters: float, multiple: int = 8) -> int:
    """`filters` rounded to a multiple of 8 or another, never by more than a tenth downwards."""
    rounded = max(multiple, int(filters + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * filters else rounded


def mobilenet_v2(x: Tensor, options: BackboneOptions) -> Pyramid:
    """Tiles (n, h, w, 3), values -1 to 1, to 320 channels (at multiplier 1), taps at 2 to 16."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    stride, _ = budget.spend(2)
    x = conv(
        x,
        whole_channels(32 * options.depth_multiplier, options.channel_multiple),
        name="backbone.stem",
        norm=norm,
        kernel=3,
        stride=stride,
        padding="same",
        activation="relu6",
    )
    taps: dict[int, Tensor] = {}
    for index, row in enumerate(BOTTLENECKS):
        stride, rate = budget.spend(row.stride)
        filters = whole_channels(row.filters * options.depth_multiplier, options.channel_multiple)
        name = f"backbone.bottleneck_{index}"
        wide = x
        if row.expansion > 1:
            wide = conv(
                x,
                whole_channels(x.shape[-1] * row.expansion),
                name=f"{name}.expand",
                norm=norm,
                activation="relu6",
            )
        wide = depthwise(
            wide,
            name=f"{name}.depthwise",
            norm=norm,
            stride=stride,
            rate=rate,
            padding="same",
            activation="relu6",
        )
        if TAPS.get(budget.spent) == index:
            taps[budget.spent] = wide
        out = conv(wide, filters, name=f"{name}.project", norm=norm)
        residual = stride == 1 and x.shape[-1] == filters
        x = layers.Add(name=f"{name}.add")([out, x]) if residual else out
        if index == NARROW_TAP:
            taps[2] = x
    return Pyramid(features=x, taps=taps)
