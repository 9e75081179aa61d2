"""MobileNetV3 (Howard et al. 2019, arXiv:1905.02244) for segmentation, and MobileNetEdgeTPU.

For segmentation the channels of the last blocks are halved (section 6.4). MobileNetEdgeTPU (Gupta
and Akin 2020, arXiv:2003.02838) is made of the same blocks; early ones widen and filter in a single
convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keras import layers

from deeplab.models.backbones.mobilenet_v2 import whole_channels
from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.activations import hard_gate
from deeplab.models.layers.convolution import Activation, Norm, conv, depthwise
from deeplab.models.layers.gate import channel_gate
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-3


@dataclass(frozen=True, slots=True)
class MobileNetV3Bottleneck:
    """One inverted residual.

    Attributes:
        expansion: Factor of its input's channels by which it widens.
        filters: Channels that leave it.
        kernel: Side of its convolution.
        stride: Of the same.
        activation: After all its convolutions but the last.
        gated: Whether its channels are gated by their means ("squeeze and excite").
        fused: Whether it widens and convolves at once, not each channel alone.
        residual: Whether its input is added, where the shapes allow it.
    """

    expansion: float
    filters: int
    kernel: int = 3
    stride: int = 1
    activation: Activation = "relu"
    gated: bool = False
    fused: bool = False
    residual: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetV3Layout:
    """A variant.

    Attributes:
        stem: Channels of the first convolution.
        blocks: In order.
        last: Channels of the last convolution.
        activation: After the first and the last convolution.
        taps: Block whose widened map the decoder taps, by stride.
    """

    stem: int
    blocks: tuple[MobileNetV3Bottleneck, ...]
    last: int
    activation: Activation
    taps: Mapping[int, int]


def _swish(expansion: float, filters: int, kernel: int, stride: int = 1) -> MobileNetV3Bottleneck:
    return MobileNetV3Bottleneck(expansion, filters, kernel, stride, "hard_swish", gated=True)


# Tables 1 and 2 of the paper.
LARGE_SEG = MobileNetV3Layout(
    stem=16,
    blocks=(
        MobileNetV3Bottleneck(1, 16),
        MobileNetV3Bottleneck(4, 24, stride=2),
        MobileNetV3Bottleneck(3, 24),
        MobileNetV3Bottleneck(3, 40, 5, 2, gated=True),
        *(MobileNetV3Bottleneck(3, 40, 5, gated=True),) * 2,
        MobileNetV3Bottleneck(6, 80, 3, 2, "hard_swish"),
        MobileNetV3Bottleneck(2.5, 80, activation="hard_swish"),
        *(MobileNetV3Bottleneck(184 / 80, 80, activation="hard_swish"),) * 2,
        *(_swish(6, 112, 3),) * 2,
        _swish(3, 80, 5, 2),
        *(_swish(6, 80, 5),) * 2,
    ),
    last=480,
    activation="hard_swish",
    taps=MappingProxyType({4: 2, 8: 5, 16: 11}),
)
SMALL_SEG = MobileNetV3Layout(
    stem=16,
    blocks=(
        MobileNetV3Bottleneck(1, 16, stride=2, gated=True),
        MobileNetV3Bottleneck(72 / 16, 24, stride=2),
        MobileNetV3Bottleneck(88 / 24, 24),
        _swish(4, 40, 5, 2),
        *(_swish(6, 40, 5),) * 2,
        *(_swish(3, 48, 5),) * 2,
        _swish(3, 48, 5, 2),
        *(_swish(6, 48, 5),) * 2,
    ),
    last=288,
    activation="hard_swish",
    taps=MappingProxyType({4: 0, 8: 2, 16: 7}),
)
EDGETPU = MobileNetV3Layout(
    stem=32,
    blocks=(
        MobileNetV3Bottleneck(1, 16, fused=True),
        MobileNetV3Bottleneck(8, 32, stride=2, fused=True),
        *(MobileNetV3Bottleneck(4, 32, fused=True),) * 3,
        MobileNetV3Bottleneck(8, 48, stride=2, fused=True),
        *(MobileNetV3Bottleneck(4, 48, fused=True),) * 3,
        MobileNetV3Bottleneck(8, 96, stride=2),
        *(MobileNetV3Bottleneck(4, 96),) * 3,
        MobileNetV3Bottleneck(8, 96, residual=False),
        *(MobileNetV3Bottleneck(4, 96),) * 3,
        MobileNetV3Bottleneck(8, 160, 5, 2),
        *(MobileNetV3Bottleneck(4, 160, 5),) * 3,
        MobileNetV3Bottleneck(8, 192),
    ),
    last=1280,
    activation="relu",
    # The original has no decoder for it; these are the last widened maps before the next stride.
    taps=MappingProxyType({4: 4, 8: 8, 16: 16}),
)


def mobilenet_v3(x: Tensor, options: BackboneOptions, layout: MobileNetV3Layout) -> Pyramid:
    """Tiles (n, h, w, 3), values -1 to 1, to the last convolution's map and taps at 2 to 16."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    stride, _ = budget.spend(2)
    x = conv(
        x,
        whole_channels(layout.stem * options.depth_multiplier),
        name="backbone.stem",
        norm=norm,
        kernel=3,
        stride=stride,
        padding="same",
        activation=layout.activation,
    )
    taps = {2: x}
    for index, block in enumerate(layout.blocks):
        name = f"backbone.bottleneck_{index}"
        stride, rate = budget.spend(block.stride)
        wide = _widened(x, block, name=name, norm=norm, stride=stride, rate=rate)
        if layout.taps.get(budget.spent) == index:
            taps[budget.spent] = wide
        if block.gated:
            wide = _gated(wide, name=name, cells=(options.crop_size - 1) // budget.spent + 1)
        filters = whole_channels(block.filters * options.depth_multiplier)
        out = conv(wide, filters, name=f"{name}.project", norm=norm)
        added = block.residual and stride == 1 and x.shape[-1] == filters
        x = layers.Add(name=f"{name}.add")([out, x]) if added else out
    x = conv(
        x,
        whole_channels(layout.last * options.depth_multiplier),
        name="backbone.last",
        norm=norm,
        activation=layout.activation,
    )
    return Pyramid(features=x, taps=taps)


def _widened(
    x: Tensor, block: MobileNetV3Bottleneck, *, name: str, norm: Norm, stride: int, rate: int
) -> Tensor:
    """Return the input of a block with more channels, convolved."""
    filters = whole_channels(x.shape[-1] * block.expansion)
    if filters > x.shape[-1]:
        x = conv(
            x,
            filters,
            name=f"{name}.expand",
            norm=norm,
            kernel=block.kernel if block.fused else 1,
            stride=stride if block.fused else 1,
            rate=rate if block.fused else 1,
            padding="same",
            activation=block.activation,
        )
    if block.fused:
        return x
    return depthwise(
        x,
        name=f"{name}.depthwise",
        norm=norm,
        kernel=block.kernel,
        stride=stride,
        rate=rate,
        padding="same",
        activation=block.activation,
    )


def _gated(x: Tensor, *, name: str, cells: int) -> Tensor:
    """Each channel times a gate from 0 to 1, made of all channels' means over `cells` x `cells`.

    In a slide the tile changes it by a faint rest only: gates one after another look farther than
    any halo.
    """
    squeezed = whole_channels(x.shape[-1] / 4)
    gates = channel_gate(x, name=name, squeezed=squeezed, cells=cells, gate=hard_gate)
    return layers.Multiply(name=f"{name}.gated")([x, gates])
