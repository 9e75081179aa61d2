"""Cutting maps at their sides."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deeplab.models.layers.resize import Tensor


def crop(x: Tensor, cells: Tensor) -> Tensor:
    """Return a map (n, h, w, c) without `cells` cells at each side; a number or int32 ()."""
    count, height, width, channels = ops.shape(x)
    shape = (count, height - 2 * cells, width - 2 * cells, channels)
    return ops.slice(x, (0, cells, cells, 0), shape)


@keras.saving.register_keras_serializable(package="deeplab")
class Crop(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Cut `cells` cells off a map at each of its four sides.

    What Keras' `Cropping2D` does, but in TensorFlow as one `Slice` in place of a `StridedSlice`.
    OpenVINO moves its changes of the axes' order past the former and not past the latter, around
    which it copies the map twice: in HoVer-Net's widest maps an eighth of all time.
    """

    def __init__(self, cells: int, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.cells = cells

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to (n, h - 2 cells, w - 2 cells, c)."""
        return crop(x, self.cells)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        count, *sides, channels = shape
        return (count, *(side and side - 2 * self.cells for side in sides), channels)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "cells": self.cells}
