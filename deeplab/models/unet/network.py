"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597): encoder, doublings with skips, logits."""

from __future__ import annotations

import keras

from deeplab.config.unet import UNetConfig
from deeplab.models.dense.skip_decoder import Doubling, build_skip_decoder
from deeplab.models.layers.resize import Tensor


def build(config: UNetConfig) -> keras.Model:
    """Return the network: pixels uint8 (n, h, w, channels) in, "semantic_logits" out.

    Logits are float32 (n, h, w, labels). Height and width are free multiples of 2 ** depth.
    """

    def decoder(maps: tuple[Tensor, ...], double: Doubling) -> Tensor:
        x, *skips = maps
        for index, channels in enumerate(config.decoder_channels):
            x = double(
                x,
                tuple(skips[index : index + 1]),
                channels,
                name=f"decoder.block_{index}",
                stride=2 ** (config.depth - index - 1),
            )
        return x

    return build_skip_decoder(config, decoder, name="unet")
