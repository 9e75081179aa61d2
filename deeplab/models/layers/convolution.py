"""Convolutions with batch norm, padded as the original networks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from keras import initializers, layers

from deeplab.models.layers.activations import hard_swish
from deeplab.models.layers.norm import BatchNorm
from deeplab.models.layers.resize import Tensor

Activation = Literal["relu", "relu6", "hard_swish", "silu"]
# How a map is padded before a stride: by half a kernel on all sides, so that cell (0, 0) lies on
# pixel (0, 0) at any size, or as TensorFlow's SAME, which puts less before than behind where the
# size is even. With sides of 16 k + 1 they are the same.
Padding = Literal["symmetric", "same"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """How batch norm is done in one part of a network."""

    epsilon: float
    decay: float


def normalised(x: Tensor, *, name: str, norm: Norm, activation: Activation | None) -> Tensor:
    """Batch norm as layer `<name>.norm`, then the activation, if any."""
    # Not `synchronized`, which costs a single device a third of its speed; a training over several
    # replicas sets it on these layers before the first step.
    x = BatchNorm(momentum=norm.decay, epsilon=norm.epsilon, name=f"{name}.norm")(x)
    return x if activation is None else activated(x, name=name, activation=activation)


def activated(x: Tensor, *, name: str, activation: Activation) -> Tensor:
    """Return an activation as layer `<name>.act`."""
    # By name Keras has a hard swish of its own, of other arithmetic.
    function = hard_swish if activation == "hard_swish" else activation
    return layers.Activation(function, name=f"{name}.act")(x)


def _padded(
    x: Tensor, *, name: str, kernel: int, stride: int, padding: Padding
) -> tuple[Tensor, str]:
    """Return a map padded as asked for, and what padding is left to the convolution."""
    if stride == 1 or kernel == 1 or padding == "same":
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
    padding: Padding = "symmetric",
    activation: Activation | None = None,
) -> Tensor:
    """Convolution `name` with batch norm: (n, h, w, c) to (n, h/stride, w/stride, filters)."""
    x, left = _padded(x, name=name, kernel=kernel, stride=stride, padding=padding)
    x = layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        dilation_rate=rate,
        padding=left,
        use_bias=False,
        kernel_initializer=initializers.HeNormal(),
        name=name,
    )(x)
    return normalised(x, name=name, norm=norm, activation=activation)


def depthwise(  # noqa: PLR0913  all that one convolution can be
    x: Tensor,
    *,
    name: str,
    norm: Norm,
    kernel: int = 3,
    stride: int = 1,
    rate: int = 1,
    padding: Padding = "symmetric",
    activation: Activation | None = None,
) -> Tensor:
    """Convolution of each channel alone, `rate` cells between its taps, with batch norm."""
    x, left = _padded(x, name=name, kernel=kernel, stride=stride, padding=padding)
    x = layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        dilation_rate=rate,
        padding=left,
        use_bias=False,
        # Each output sums a kernel of inputs: what Keras calls fan_out for this kernel's shape.
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
