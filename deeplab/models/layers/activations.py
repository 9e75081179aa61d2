"""Activations of straight lines, rounded as in the networks that were trained with them."""

from __future__ import annotations

import keras
from keras import ops

from deeplab.models.layers.resize import Tensor


@keras.saving.register_keras_serializable(package="deeplab")  # type: ignore[untyped-decorator]
def hard_gate(x: Tensor) -> Tensor:
    """0 below -3, 1 above 3, a line between; TensorFlow's networks have 0.16667 for a sixth."""
    return ops.relu6(x + 3) * 0.16667


@keras.saving.register_keras_serializable(package="deeplab")  # type: ignore[untyped-decorator]
def hard_swish(x: Tensor) -> Tensor:
    """`x` times a straight-lined gate of itself (Howard et al. 2019, arXiv:1905.02244)."""
    return x * ops.relu6(x + 3) * (1 / 6)
