"""ResNet (He et al. 2015, arXiv:1512.03385), made atrous as by Chen et al. 2017, arXiv:1706.05587.

A block halves the map in its last unit, not in its first, so that one more unit sees the finer map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keras import layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.convolution import Norm, conv
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-5
WIDTHS = (64, 128, 256, 512)  # channels of the 3 x 3 convolutions of each block


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetV1Layout:
    """A variant of ResNet.

    Attributes:
        stem: Channels of the first convolutions: one of 7 x 7, or three of 3 x 3 (beta).
        units: Units of each block.
        bottleneck: Units are 1 x 1, 3 x 3, 1 x 1 with four times the width, not 3 x 3, 3 x 3.
        taps: Block and unit whose last convolution the decoder taps, by stride.
    """

    stem: tuple[int, ...]
    units: tuple[int, int, int, int]
    bottleneck: bool
    taps: Mapping[int, tuple[int, int]]

    @property
    def expansion(self) -> int:
        """Channels that leave a unit, as a multiple of its block's width."""
        return 4 if self.bottleneck else 1


_PLAIN_STEM = (64,)
_TAPS_18 = MappingProxyType({4: (1, 1), 8: (2, 1), 16: (3, 1)})
_TAPS_50 = MappingProxyType({4: (1, 2), 8: (2, 3), 16: (3, 5)})
_TAPS_101 = MappingProxyType({4: (1, 2), 8: (2, 3), 16: (3, 22)})
RESNET_V1_18 = ResNetV1Layout(stem=_PLAIN_STEM, units=(2, 2, 2, 2), bottleneck=False, taps=_TAPS_18)
RESNET_V1_18_BETA = ResNetV1Layout(
    stem=(16, 16, 32), units=(2, 2, 2, 2), bottleneck=False, taps=_TAPS_18
)
RESNET_V1_50 = ResNetV1Layout(stem=_PLAIN_STEM, units=(3, 4, 6, 3), bottleneck=True, taps=_TAPS_50)
RESNET_V1_50_BETA = ResNetV1Layout(
    stem=(64, 64, 128), units=(3, 4, 6, 3), bottleneck=True, taps=_TAPS_50
)
RESNET_V1_101 = ResNetV1Layout(
    stem=_PLAIN_STEM, units=(3, 4, 23, 3), bottleneck=True, taps=_TAPS_101
)
RESNET_V1_101_BETA = ResNetV1Layout(
    stem=(64, 64, 128), units=(3, 4, 23, 3), bottleneck=True, taps=_TAPS_101
)


def resnet_v1(x: Tensor, options: BackboneOptions, layout: ResNetV1Layout) -> Pyramid:
    """Tiles (n, h, w, 3), normalised, to 512 or 2048 channels and taps at 2 to 16."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    x = _stem(x, layout.stem, norm=norm, budget=budget)
    taps = {2: x}
    stride, _ = budget.spend(2)
    x = layers.MaxPooling2D(3, strides=stride, padding="same", name="backbone.pool1")(x)
    for block, (width, units) in enumerate(zip(WIDTHS, layout.units, strict=True), start=1):
        last = block == len(WIDTHS)
        # Multi-grid spreads the rates of the last block, which keeps its size.
        grid = options.multi_grid if options.multi_grid and last else (1,) * units
        for unit, step in enumerate(grid, start=1):
            stride, rate = budget.spend(2 if unit == units and not last else 1)
            x, residual = _unit(
                x,
                width,
                layout,
                name=f"backbone.block{block}.unit_{unit}",
                norm=norm,
                stride=stride,
                rate=rate * step,
            )
            if layout.taps.get(budget.spent) == (block, unit):
                taps[budget.spent] = residual
    return Pyramid(features=x, taps=taps)


def _stem(x: Tensor, stem: tuple[int, ...], *, norm: Norm, budget: StrideBudget) -> Tensor:
    """Tiles to a map of stride 2: one convolution or three, the first with a stride."""
    stride, _ = budget.spend(2)
    name = "backbone.conv1"
    if len(stem) == 1:
        x = conv(x, stem[0], name=name, norm=norm, kernel=7, stride=stride, activation="relu")
    else:
        for index, filters in enumerate(stem, start=1):
            x = conv(
                x,
                filters,
                name=f"{name}_{index}",
                norm=norm,
                kernel=3,
                stride=stride if index == 1 else 1,
                activation="relu",
            )
    return x


def _unit(
    x: Tensor, width: int, layout: ResNetV1Layout, *, name: str, norm: Norm, stride: int, rate: int
) -> tuple[Tensor, Tensor]:
    """Return one unit, and what it adds to its input: after batch norm, before any ReLU."""
    filters = width * layout.expansion
    part = f"{name}.conv"
    if layout.bottleneck:
        out = conv(x, width, name=f"{part}1", norm=norm, activation="relu")
        out = conv(
            out,
            width,
            name=f"{part}2",
            norm=norm,
            kernel=3,
            stride=stride,
            rate=rate,
            activation="relu",
        )
        out = conv(out, filters, name=f"{part}3", norm=norm)
    else:
        out = conv(x, width, name=f"{part}1", norm=norm, kernel=3, rate=rate, activation="relu")
        out = conv(out, width, name=f"{part}2", norm=norm, kernel=3, stride=stride, rate=rate)
    if x.shape[-1] != filters:
        x = conv(x, filters, name=f"{name}.shortcut", norm=norm, stride=stride)
    elif stride > 1:
        x = layers.MaxPooling2D(1, strides=stride, name=f"{name}.subsample")(x)
    x = layers.Add(name=f"{name}.add")([x, out])
    return layers.Activation("relu", name=f"{name}.act")(x), out
