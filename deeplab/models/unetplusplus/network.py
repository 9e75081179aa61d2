"""U-Net++ (Zhou et al. 2018, arXiv:1807.10165): U-Nets of every depth within each other."""

from __future__ import annotations

import keras

from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.models.dense.skip_decoder import Doubling, build_skip_decoder
from deeplab.models.layers.resize import Tensor


def build(config: UNetPlusPlusConfig) -> keras.Model:
    """Return the network: pixels uint8 (n, h, w, channels) in, "semantic_logits" out.

    Logits are float32 (n, h, w, labels). Height and width are free multiples of 2 ** depth. A node
    `x_<first>_<last>` has the size of row `last`; row 0 is the first doubling of the coarsest map.
    Its map is doubled from that of the row above, and joined with those of its own row that began
    at a finer map, and with the encoder's.
    """

    def decoder(maps: tuple[Tensor, ...], double: Doubling) -> Tensor:
        rows = config.depth - 1  # that have a skip
        nodes: dict[tuple[int, int], Tensor] = {}
        for last in range(rows):
            for first in range(last, -1, -1):
                below = maps[first] if first == last else nodes[first, last - 1]
                earlier = [nodes[at, last] for at in range(first + 1, last + 1)]
                skip = maps[last + 1]
                # A node of the outermost path is as wide as the decoder, others as their skip.
                channels = skip.shape[-1] if first else config.decoder_channels[last]
                nodes[first, last] = double(
                    below,
                    (*earlier, skip),
                    channels,
                    name=f"decoder.x_{first}_{last}",
                    stride=2 ** (rows - last),
                )
        return double(
            nodes[0, rows - 1],
            (),
            config.decoder_channels[-1],
            name=f"decoder.x_0_{rows}",
            stride=1,
        )

    return build_skip_decoder(config, decoder, name="unetplusplus")
