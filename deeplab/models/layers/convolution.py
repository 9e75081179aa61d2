"""Convolutions with batch norm, padded as the original networks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keras import initializers, layers

from deeplab.models.layers.resize import Tensor

Activation = Literal["relu", "relu6"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """How batch norm is done in one part of a network."""

    epsilon: float
    decay: float


def normalised(x: Tensor, *, name: str, norm: Norm, activation: Activation | None) -> Tensor:
    """Batch norm as layer `<name>.norm`, then the activation, if any."""
    # Not `synchronized`, which costs a single device a third of its speed; a training over several
    # replicas sets it on these layers before the first step.
    x = layers.BatchNormalization(momentum=norm.decay, epsilon=norm.epsilon, name=f"{name}.norm")(x)
    return x if activation is None else layers.Activation(activation, name=f"{name}.act")(x)


def _padded(x: Tensor, *, name: str, kernel: int, stride: int) -> tuple[Tensor, str]:
    """Symmetric padding before a stride, so that cell (0, 0) lies on pixel (0, 0) at any size."""
    if stride == 1 or kernel == 1:
        return x, "same"
    return layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x), "valid"


def conv(  # noqa: PLR0913  all that one convolution can be
    x: Tensor,
    filters: int,
    *,
    name: str,
    norm: Norm,
    kernel: int = 1,
    stride: int = 1,
    rate: int = 1,
    activation: Activation | None = None,
) -> Tensor:
    """Convolution `name` with batch norm: (n, h, w, c) to (n, h/stride, w/stride, filters)."""
    x, padding = _padded(x, name=name, kernel=kernel, stride=stride)
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=rate,
        padding=padding,
        use_bias=False,
        kernel_initializer=initializers.HeNormal(),
        name=name,
    )(x)
    return normalised(x, name=name, norm=norm, activation=activation)


def depthwise(
    x: Tensor,
    *,
    name: str,
    norm: Norm,
    stride: int = 1,
    rate: int = 1,
    activation: Activation | None = None,
) -> Tensor:
    """3 x 3 convolution of each channel alone, `rate` cells between its taps, with batch norm."""
    x, padding = _padded(x, name=name, kernel=3, stride=stride)
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        dilation_rate=rate,
        padding=padding,
        use_bias=False,
        # Each output sums 9 inputs: what Keras calls fan_out for this kernel's shape.
        depthwise_initializer=initializers.VarianceScaling(2.0, mode="fan_out"),
        name=name,
    )(x)
    return normalised(x, name=name, norm=norm, activation=activation)


def separable(
    x: Tensor,
    filters: int,
    *,
    name: str,
    norm: Norm,
    stride: int = 1,
    rate: int = 1,
    activation: Activation | None = None,
) -> Tensor:
    """`<name>.depthwise`, then 1 x 1 `<name>.pointwise`, each with batch norm and activation."""
    x = depthwise(
        x, name=f"{name}.depthwise", norm=norm, stride=stride, rate=rate, activation=activation
    )
    return conv(x, filters, name=f"{name}.pointwise", norm=norm, activation=activation)
