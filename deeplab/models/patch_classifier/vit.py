"""Vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), as timm computes it."""

from __future__ import annotations

from keras import layers

from deeplab.config.patch_encoders import VitFacts
from deeplab.models.layers.attention import Attention, ClassToken
from deeplab.models.layers.resize import Tensor
from deeplab.models.patch_classifier.blocks import (
    SEEN,
    WHOLE,
    dense,
    layer_norm,
    marked,
    patch_conv,
    widened,
)

EPSILON = 1e-6


def vit(x: Tensor, facts: VitFacts) -> Tensor:
    """Patches (n, side, side, 3), normalised, to features (n, width).

    The class token stands first and is what the classes are read from. What it learns from the
    others ends with the last block, so activation maps are made of what that block is given.
    """
    x = patch_conv(x, facts.width, facts.patch, name="backbone.patch")
    x = ClassToken(name="backbone.tokens")(x)
    for index in range(facts.depth):
        name = f"backbone.block_{index}"
        out = layer_norm(x, name=f"{name}.norm1", epsilon=EPSILON)
        if index == facts.depth - 1:
            out = marked(out, name=SEEN)
        out = dense(out, 3 * facts.width, name=f"{name}.qkv")
        out = Attention(facts.heads, name=f"{name}.attention")(out)
        out = dense(out, facts.width, name=f"{name}.proj")
        x = layers.Add(name=f"{name}.add1")([x, out])
        out = layer_norm(x, name=f"{name}.norm2", epsilon=EPSILON)
        x = layers.Add(name=f"{name}.add2")([x, widened(out, name=name)])
    tokens = marked(layer_norm(x, name="backbone.norm", epsilon=EPSILON), name=WHOLE)
    return tokens[:, 0]
