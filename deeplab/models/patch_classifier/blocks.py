"""Pieces that the encoders of patches share."""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from deeplab.models.layers.resize import Tensor

MLP_WIDTH = 4  # times the channels, inside of a block
# Layers that show what the classes are read from: the last map (n, h, w, c) or tokens (n, t, c);
# and what activation maps are made of, where that is another: the class's token, then the cells'.
WHOLE: Final = "features"
SEEN: Final = "seen"


def marked(x: Tensor, *, name: str) -> Tensor:
    """Return the same as a layer `name`, by which it is found again."""
    return layers.Activation("linear", name=name)(x)


def layer_norm(x: Tensor, *, name: str, epsilon: float) -> Tensor:
    """Normalise each token or cell by itself, as layer `name`."""
    return layers.LayerNormalization(epsilon=epsilon, name=name)(x)


def dense(x: Tensor, units: int, *, name: str, bias: bool = True) -> Tensor:
    """Return a layer `name` of the last axis."""
    return dense_layer(units, name=name, bias=bias)(x)


def dense_layer(units: int, *, name: str, bias: bool = True) -> layers.Dense:
    """Return a layer of the last axis, to be used more than once."""
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.Dense(units, use_bias=bias, kernel_initializer=small, name=name)


def widened(x: Tensor, *, name: str) -> Tensor:
    """Return two dense layers with an exact GELU between them (Hendrycks 2016)."""
    channels = int(x.shape[-1])
    x = dense(x, MLP_WIDTH * channels, name=f"{name}.mlp1")
    x = layers.Activation(keras.activations.gelu, name=f"{name}.mlp1.act")(x)
    return dense(x, channels, name=f"{name}.mlp2")


def patch_conv(x: Tensor, filters: int, side: int, *, name: str) -> Tensor:
    """Convolve squares that do not overlap: (n, h, w, c) to (n, h/side, w/side, filters)."""
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.Conv2D(filters, side, strides=side, kernel_initializer=small, name=name)(x)
