"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545), as timm computes it."""

from __future__ import annotations

import keras
from keras import layers

from deeplab.config.patch_encoders import ConvNextFacts
from deeplab.models.layers.attention import ChannelScale
from deeplab.models.layers.resize import Tensor
from deeplab.models.patch_classifier.blocks import (
    WHOLE,
    layer_norm,
    marked,
    patch_conv,
    widened,
)

EPSILON = 1e-6
STEM, KERNEL = 4, 7  # px, cells


def convnext(x: Tensor, facts: ConvNextFacts) -> Tensor:
    """Patches (n, side, side, 3), normalised, to features (n, widths[-1])."""
    for stage, (depth, width) in enumerate(zip(facts.depths, facts.widths, strict=True)):
        name = f"backbone.stage{stage}"
        if stage:
            x = layer_norm(x, name=f"{name}.down.norm", epsilon=EPSILON)
            x = patch_conv(x, width, 2, name=f"{name}.down")
        else:
            x = patch_conv(x, width, STEM, name="backbone.stem")
            x = layer_norm(x, name="backbone.stem.norm", epsilon=EPSILON)
        for index in range(depth):
            x = _block(x, name=f"{name}.block_{index}")
    pooled = layers.GlobalAveragePooling2D(name="pool")(marked(x, name=WHOLE))
    return layer_norm(pooled, name="backbone.norm", epsilon=EPSILON)


def _block(x: Tensor, *, name: str) -> Tensor:
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    out = layers.DepthwiseConv2D(
        KERNEL, padding="same", depthwise_initializer=small, name=f"{name}.depthwise"
    )(x)
    out = layer_norm(out, name=f"{name}.norm", epsilon=EPSILON)
    out = ChannelScale(name=f"{name}.scale")(widened(out, name=name))
    return layers.Add(name=f"{name}.add")([x, out])
