"""The published decoders: upsample, add the encoder's finer map, and go through a dense block.

No convolution but the last of 3 x 3 or 5 x 5 pads, so each block answers for less than it is given
and finer maps are cut to what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras import initializers, layers

from deeplab.config.hovernet import HoverNetConfig
from deeplab.models.backbones.pyramid import Pyramid
from deeplab.models.layers.convolution import Norm, conv, normalised
from deeplab.models.layers.crop import Crop
from deeplab.models.layers.resize import Tensor

Branch = Callable[[str, int], Tensor]  # name and channels of an output to the output

EPSILON = 1e-5
BOTTOM = 1024  # channels
LAST = 64  # channels of the features that logits are made of
DENSE_INNER = 128  # channels inside of a dense unit, and those that it adds
DENSE_GROWTH = 32
GROUPS = 4


@dataclass(frozen=True, slots=True)
class DecoderBlock:
    """One scale of a decoder.

    Attributes:
        stride: Work pixels per cell of the map that is added at its beginning.
        filters: Channels of its first convolution.
        units: Of its dense block.
        out: Channels that leave it.
    """

    stride: int
    filters: int
    units: int
    out: int


BLOCKS = {"u3": DecoderBlock(4, 256, 8, 512), "u2": DecoderBlock(2, 128, 4, 256)}


def decoder(pyramid: Pyramid, config: HoverNetConfig) -> Branch:
    """Return what makes an output of a name: (n, h - 2 margin, w - 2 margin, channels)."""
    norm = Norm(epsilon=EPSILON, decay=config.batch_norm_decay)
    bottom = _conv(pyramid.features, BOTTOM, name="decoder.bottom")  # (n, h/8, w/8, 1024)

    def branch(name: str, channels: int) -> Tensor:
        x, lost = bottom, 0  # cells of `x` at each side that valid convolutions took
        for part, block in BLOCKS.items():
            called = f"decoder.{name}.{part}"
            x = _joined(x, pyramid.taps[block.stride], 2 * lost, name=called)
            x = _conv(x, block.filters, name=f"{called}.conva", kernel=config.kernel)
            x = _dense(x, block.units, name=f"{called}.dense", kernel=config.kernel, norm=norm)
            x = _conv(x, block.out, name=f"{called}.convf")
            lost = 2 * lost + (1 + block.units) * (config.kernel // 2)
        called = f"decoder.{name}.u1"
        x = _joined(x, pyramid.taps[1], 2 * lost, name=called)
        x = _conv(x, LAST, name=f"{called}.conva", kernel=config.kernel, padding="same")
        x = normalised(x, name=f"decoder.{name}.u0", norm=norm, activation="relu")
        return layers.Conv2D(channels, 1, name=f"logits.{name}")(x)

    return branch


def _joined(x: Tensor, finer: Tensor, cut: int, *, name: str) -> Tensor:
    """Return a map of twice the size, plus the finer one without `cut` cells at each side."""
    x = layers.UpSampling2D(2, name=f"{name}.up")(x)
    if cut:
        finer = Crop(cut, name=f"{name}.crop")(finer)
    return layers.Add(name=f"{name}.add")([x, finer])


def _dense(x: Tensor, units: int, *, name: str, kernel: int, norm: Norm) -> Tensor:
    """Units that each add 32 channels to what they are given, cut to what is left."""
    for index in range(units):
        part = f"{name}.unit_{index}"
        out = normalised(x, name=f"{part}.preact", norm=norm, activation="relu")
        out = conv(out, DENSE_INNER, name=f"{part}.conv1", norm=norm, activation="relu")
        out = _conv(out, DENSE_GROWTH, name=f"{part}.conv2", kernel=kernel, groups=GROUPS)
        x = Crop(kernel // 2, name=f"{part}.crop")(x)
        x = layers.Concatenate(name=f"{part}.concat")([x, out])
    return normalised(x, name=name, norm=norm, activation="relu")


def _conv(
    x: Tensor,
    filters: int,
    *,
    name: str,
    kernel: int = 1,
    groups: int = 1,
    padding: str = "valid",
) -> Tensor:
    """Convolve without bias or batch norm."""
    return layers.Conv2D(
        filters,
        kernel,
        padding=padding,
        groups=groups,
        use_bias=False,
        kernel_initializer=initializers.HeNormal(),
        name=name,
    )(x)
