"""DeepLabV3+ (Chen et al. 2018, arXiv:1802.02611): backbone, ASPP, decoder, logits."""

from __future__ import annotations

import keras
from keras import initializers, layers

from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.models.backbones.pyramid import BackboneOptions
from deeplab.models.backbones.table import BUILD
from deeplab.models.deeplabv3plus.aspp import aspp
from deeplab.models.deeplabv3plus.decoder import decoder
from deeplab.models.layers.convolution import Norm
from deeplab.models.outputs import SEMANTIC_LOGITS

HEAD_EPSILON = 1e-5


def build(config: DeepLabV3PlusConfig) -> keras.Model:
    """The network: uint8 (n, h, w, channels) in, {"semantic_logits": float32 (n, h/s, w/s, c)} out.

    Height and width are free; with sides of 16 k + 1 the logits' corners lie on the tile's.
    """
    rgb = keras.Input((None, None, len(config.channels)), dtype="uint8", name="rgb")
    normalisation = config.pixels
    x = layers.Rescaling(normalisation.scale, offset=normalisation.offset, name="normalisation")(
        rgb
    )
    pyramid = BUILD[config.backbone](
        x,
        BackboneOptions(
            output_stride=config.output_stride,
            depth_multiplier=config.depth_multiplier,
            channel_multiple=config.channel_multiple,
            multi_grid=config.multi_grid,
            crop_size=config.crop_size,
            drop_path_keep_prob=config.drop_path_keep_prob,
            decay=config.batch_norm_decay,
            stem_padding=config.stem_padding,
        ),
    )
    norm = Norm(epsilon=HEAD_EPSILON, decay=config.batch_norm_decay)
    x = aspp(pyramid.features, config, norm)  # (n, h/output_stride, w/output_stride, aspp_filters)
    if config.decoder_output_stride is not None:
        x = decoder(x, pyramid.taps[config.decoder_output_stride], config, norm)
    if config.decoder_output == "features":
        x = layers.Conv2D(
            config.label_count,
            1,
            kernel_initializer=initializers.TruncatedNormal(stddev=0.01),
            name="logits",
        )(x)
    # Whatever the precision inside, losses and softmax start from float32.
    logits = layers.Activation("linear", dtype="float32", name=SEMANTIC_LOGITS)(x)
    return keras.Model(rgb, {SEMANTIC_LOGITS: logits}, name="deeplabv3plus")
