"""The decoder: what is there, from the ASPP; where it ends, from low-level features."""

from __future__ import annotations

from keras import layers

from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.models.layers.convolution import Norm, conv, separable
from deeplab.models.layers.resize import ResizeLike, Tensor


def decoder(x: Tensor, low_level: Tensor, config: DeepLabV3PlusConfig, norm: Norm) -> Tensor:
    """ASPP features and a low-level map (n, h/4, w/4, c) to (n, h/4, w/4, decoder_filters)."""
    low_level = conv(
        low_level, config.low_level_filters, name="decoder.low_level", norm=norm, activation="relu"
    )
    x = ResizeLike(name="decoder.resize")([x, low_level])
    x = layers.Concatenate(name="decoder.concat")([x, low_level])
    for index in (0, 1):
        x = separable(
            x, config.decoder_filters, name=f"decoder.conv_{index}", norm=norm, activation="relu"
        )
    return x
