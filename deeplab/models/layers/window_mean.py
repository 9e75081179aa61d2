"""Means over windows of a fixed number of cells: global context that no tile size can change."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deeplab.models.layers.resize import Tensor, apply_columns, apply_rows


def window_matrix(length: Tensor, cells: int) -> Tensor:
    """For each of `length` positions, ones over its window of `cells`: (length, length), float32.

    The window is centred on the position but shifted to stay inside; all of a shorter line.
    """
    place = ops.arange(length)
    start = ops.clip(place - cells // 2, 0, ops.maximum(length - cells, 0))
    inside = ops.logical_and(
        place[None, :] >= start[:, None], place[None, :] < start[:, None] + cells
    )
    return ops.cast(inside, "float32")


@keras.saving.register_keras_serializable(package="deeplab")
class WindowMean(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """The mean over the `cells` x `cells` window around each position, of the same shape.

    A map of exactly `cells` x `cells` gets its global mean everywhere, as the original's image
    pooling; in a larger map the mean around a place does not depend on how large the map is.
    """

    def __init__(self, cells: int, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.cells = cells

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to means (n, h, w, c)."""
        _, height, width, _ = ops.shape(x)
        # In float32: a half cannot hold the sum of a thousand features.
        wide = ops.cast(x, "float32")
        rows = ops.cast(ops.minimum(height, self.cells), "float32")
        columns = ops.cast(ops.minimum(width, self.cells), "float32")
        wide = apply_rows(window_matrix(height, self.cells), wide) / rows
        wide = apply_columns(window_matrix(width, self.cells), wide) / columns
        return ops.cast(wide, x.dtype)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result: that of the input."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Everything to make this layer again."""
        return {**super().get_config(), "cells": self.cells}
