"""ResNet (He et al. 2015, arXiv:1512.03385) in the layout in which ImageNet's weights are shared.

That of torchvision and timm: a block halves the map in its first unit, in the 3 x 3 convolution of
a bottleneck. `resnet_v1` is DeepLab's layout, which halves in the last.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras import layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.convolution import Norm, conv
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-5
STEM = 64  # channels
WIDTHS = (64, 128, 256, 512)  # channels of the 3 x 3 convolutions of each block
EXPANSION = 4  # channels that leave a bottleneck, as a multiple of its width


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetLayout:
    """Units of each block, and whether they are 1 x 1, 3 x 3, 1 x 1 or twice 3 x 3."""

    units: tuple[int, int, int, int]
    bottleneck: bool


RESNET_18 = ResNetLayout(units=(2, 2, 2, 2), bottleneck=False)
RESNET_34 = ResNetLayout(units=(3, 4, 6, 3), bottleneck=False)
RESNET_50 = ResNetLayout(units=(3, 4, 6, 3), bottleneck=True)
RESNET_101 = ResNetLayout(units=(3, 4, 23, 3), bottleneck=True)


def resnet(x: Tensor, options: BackboneOptions, layout: ResNetLayout) -> Pyramid:
    """Tiles (n, h, w, 3), normalised, to 512 or 2048 channels and taps at 2, 4, 8, 16."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    stride, _ = budget.spend(2)
    name = "backbone.conv1"
    x = conv(x, STEM, name=name, norm=norm, kernel=7, stride=stride, activation="relu")
    taps = {2: x}
    stride, _ = budget.spend(2)
    # What is above zero needs no other padding than zeros.
    x = layers.ZeroPadding2D(1, name="backbone.pool1.pad")(x)
    x = layers.MaxPooling2D(3, strides=stride, name="backbone.pool1")(x)
    for block, (width, units) in enumerate(zip(WIDTHS, layout.units, strict=True), start=1):
        grid = options.multi_grid if options.multi_grid and block == len(WIDTHS) else (1,) * units
        for unit, step in enumerate(grid):
            stride, rate = budget.spend(2 if unit == 0 and block > 1 else 1)
            if grid is options.multi_grid and unit == 0 and stride == 1:
                rate *= 2  # Multi-grid spreads one rate, that of the units after the first.
            x = _unit(
                x,
                width,
                layout,
                name=f"backbone.block{block}.unit_{unit}",
                norm=norm,
                stride=stride,
                rate=rate * step,
            )
        if block < len(WIDTHS) and budget.spent == 2 ** (block + 1):
            taps[budget.spent] = x
    return Pyramid(features=x, taps=taps)


def _unit(
    x: Tensor, width: int, layout: ResNetLayout, *, name: str, norm: Norm, stride: int, rate: int
) -> Tensor:
    filters = width * EXPANSION if layout.bottleneck else width
    part = f"{name}.conv"
    if layout.bottleneck:
        out = conv(x, width, name=f"{part}1", norm=norm, activation="relu")
        out = conv(
            out, width, name=f"{part}2", norm=norm, stride=stride, rate=rate,
            kernel=3, activation="relu",
        )  # fmt: skip
        out = conv(out, filters, name=f"{part}3", norm=norm)
    else:
        out = conv(
            x, width, name=f"{part}1", norm=norm, stride=stride, rate=rate,
            kernel=3, activation="relu",
        )  # fmt: skip
        out = conv(out, width, name=f"{part}2", norm=norm, kernel=3, rate=rate)
    if stride > 1 or x.shape[-1] != filters:
        x = conv(x, filters, name=f"{name}.shortcut", norm=norm, stride=stride)
    x = layers.Add(name=f"{name}.add")([x, out])
    return layers.Activation("relu", name=f"{name}.act")(x)
