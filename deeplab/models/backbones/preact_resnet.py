"""Pre-activation ResNet-50 as HoVer-Net has it (He et al. 2016, arXiv:1603.05027; Graham 2019).

Batch norm and ReLU come before the convolutions; the first convolution keeps the tile's size, there
is no pooling, and the last map has an eighth of it. Where a stride is 2, TensorFlow's padding is
kept, in which the network was first written: one row after an even length, none before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keras import initializers, layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid
from deeplab.models.layers.convolution import Norm, conv, normalised
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-5
STEM = 64  # channels


@dataclass(frozen=True, slots=True)
class Group:
    """Units of one stride: channels inside of them, and how many there are."""

    width: int
    units: int
    stride: int


GROUPS = (Group(64, 3, 1), Group(128, 4, 2), Group(256, 6, 2), Group(512, 3, 2))
EXPANSION = 4
StemPadding = Literal["same", "valid"]


def preact_resnet50(x: Tensor, options: BackboneOptions, *, stem: StemPadding = "same") -> Pyramid:
    """Tiles (n, h, w, 3), values 0 to 1, to 2048 channels at stride 8 and taps at 1, 2, 4.

    With a "valid" stem all maps are those of a tile that is 6 pixels smaller each way.
    """
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    x = layers.Conv2D(
        STEM,
        7,
        padding=stem,
        use_bias=False,
        kernel_initializer=initializers.HeNormal(),
        name="backbone.conv0",
    )(x)
    x = normalised(x, name="backbone.conv0", norm=norm, activation="relu")
    taps: dict[int, Tensor] = {}
    stride = 1
    for index, group in enumerate(GROUPS):
        x = _group(x, group, name=f"backbone.d{index}", norm=norm)
        stride *= group.stride
        taps[stride] = x
    return Pyramid(features=taps.pop(stride), taps=taps)


def _group(x: Tensor, group: Group, *, name: str, norm: Norm) -> Tensor:
    """Units that add to what they are given; the sum is normalised at the end only."""
    filters = group.width * EXPANSION
    shortcut = plain_conv(x, filters, name=f"{name}.shortcut", stride=group.stride)
    for index in range(group.units):
        part, stride = f"{name}.unit_{index}", group.stride if index == 0 else 1
        # The first unit gets what was normalised already: by the stem, or at the last group's end.
        if index > 0:
            x = normalised(shortcut, name=f"{part}.preact", norm=norm, activation="relu")
        out = conv(x, group.width, name=f"{part}.conv1", norm=norm, activation="relu")
        out = conv(
            out,
            group.width,
            name=f"{part}.conv2",
            norm=norm,
            kernel=3,
            stride=stride,
            padding="same",
            activation="relu",
        )
        out = plain_conv(out, filters, name=f"{part}.conv3")
        shortcut = layers.Add(name=f"{part}.add")([shortcut, out])
    return normalised(shortcut, name=name, norm=norm, activation="relu")


def plain_conv(x: Tensor, filters: int, *, name: str, stride: int = 1) -> Tensor:
    """Convolve 1 x 1 without batch norm: (n, h, w, c) to (n, h/stride, w/stride, filters)."""
    return layers.Conv2D(
        filters,
        1,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=initializers.HeNormal(),
        name=name,
    )(x)
