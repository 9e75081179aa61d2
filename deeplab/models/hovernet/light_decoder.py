"""Decoders for processors without a GPU: narrow, padded, and fed by what all branches share.

Each finer map of the encoder is projected once for all branches. The last convolutions stand at
stride 2, a sixteenth of the published decoders' work at stride 1; from there it is interpolated.
"""

from __future__ import annotations

from keras import layers

from deeplab.config.hovernet import LIGHT_STRIDES, HoverNetConfig
from deeplab.models.backbones.pyramid import Pyramid
from deeplab.models.hovernet.decoder import EPSILON, Branch
from deeplab.models.layers.convolution import Norm, conv
from deeplab.models.layers.resize import Double, Tensor


def light_decoder(pyramid: Pyramid, config: HoverNetConfig) -> Branch:
    """Return what makes an output of a name: (n, h, w, channels)."""
    norm = Norm(epsilon=EPSILON, decay=config.batch_norm_decay)
    # Channels at each stride, and behind the last of them.
    widths = {8: config.decoder_width, 4: config.decoder_width // 2, 2: config.decoder_width // 4}
    bottom = conv(pyramid.features, widths[8], name="decoder.bottom", norm=norm, activation="relu")
    finer = {
        stride: conv(
            pyramid.taps[stride],
            widths[stride],
            name=f"decoder.lateral_{stride}",
            norm=norm,
            activation="relu",
        )
        for stride in LIGHT_STRIDES
    }

    def branch(name: str, channels: int) -> Tensor:
        x = bottom
        for stride, width in widths.items():
            part = f"decoder.{name}.stride_{stride}"
            x = layers.UpSampling2D(2, name=f"{part}.up")(x)
            x = layers.Add(name=f"{part}.add")([x, finer[stride]])
            # The last of a scale has the channels that the next one adds to.
            after = widths.get(stride // 2, width)
            for index, filters in enumerate((width, after)):
                x = conv(
                    x, filters, name=f"{part}.conv_{index}", norm=norm, kernel=3, activation="relu"
                )
        x = layers.Conv2D(channels, 1, name=f"logits.{name}")(x)  # (n, h/2, w/2, channels)
        return Double(name=f"decoder.{name}.up")(x)

    return branch
