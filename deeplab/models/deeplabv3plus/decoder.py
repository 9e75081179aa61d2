"""The decoder: what is there, from the ASPP; where it ends, from low-level features."""

from __future__ import annotations

from keras import layers

from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.models.layers.convolution import Norm, conv, separable
from deeplab.models.layers.resize import ResizeLike, Tensor


def decoder(x: Tensor, low_level: Tensor, config: DeepLabV3PlusConfig, norm: Norm) -> Tensor:
    """ASPP features and a low-level map (n, h/s, w/s, c) to (n, h/s, w/s, decoder_filters)."""
    added = config.decoder_merge == "sum"
    low_level_filters = config.decoder_filters if added else config.low_level_filters
    name = "decoder.low_level"
    if config.decoder_output == "logits":
        low_level = layers.Conv2D(low_level_filters, 1, name=name)(low_level)
    else:
        low_level = conv(low_level, low_level_filters, name=name, norm=norm, activation="relu")
    x = ResizeLike(name="decoder.resize")([x, low_level])
    if added:
        x = _refined(x, config, norm, name="decoder.sum", kernel=1)
        return layers.Add(name="decoder.add")([x, low_level])
    x = layers.Concatenate(name="decoder.concat")([x, low_level])
    for index in (0, 1):
        x = _refined(x, config, norm, name=f"decoder.conv_{index}", kernel=3)
    return x


def _refined(
    x: Tensor, config: DeepLabV3PlusConfig, norm: Norm, *, name: str, kernel: int
) -> Tensor:
    """Return one convolution: with batch norms, or, on the way to logits, a plain one."""
    filters = config.decoder_filters
    if config.decoder_output == "logits":
        return layers.Conv2D(filters, kernel, padding="same", name=name)(x)
    if config.convolutions == "full":
        return conv(x, filters, name=name, norm=norm, kernel=kernel, activation="relu")
    return separable(x, filters, name=name, norm=norm, activation="relu")
