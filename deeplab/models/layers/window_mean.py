"""Means over windows of a fixed number of cells: global context that no tile size can change.

Two layers: the means of all windows, and each place's share of them. What is done to the means in
between, such as a convolution, is done once a window: a training crop has a single one.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deeplab.models.layers.resize import Tensor, apply_columns, apply_rows


def window_matrix(length: Tensor, cells: int) -> Tensor:
    """Ones over each window of `cells` in a line of `length`: (windows, length), float32.

    The windows begin at 0, 1, 2 ...; a line that is shorter has one, which is all of it.
    """
    start = ops.arange(ops.maximum(length - cells, 0) + 1)
    place = ops.arange(length)
    inside = ops.logical_and(
        place[None, :] >= start[:, None], place[None, :] < start[:, None] + cells
    )
    return ops.cast(inside, "float32")


def place_matrix(length: Tensor, cells: int, span: int, stride: int) -> Tensor:
    """Return what share each window has in each place of a line: (length, windows), float32.

    A place looks at the `span` cells around it, shifted to stay inside. Every `stride`-th window of
    `cells` in them counts, from their first cell on; the place lies between the first and the last
    window as it lies between the first and the last of the cells (align corners).
    """
    place = ops.arange(length)
    first = ops.clip(place - span // 2, 0, ops.maximum(length - span, 0))
    window = ops.arange(ops.maximum(length - cells, 0) + 1)
    offset = window[None, :] - first[:, None]
    if (span - cells) // stride == 0:  # one window for each place
        return ops.cast(ops.equal(offset, 0), "float32")
    seen = ops.minimum(length, span)
    last = ops.cast((seen - ops.minimum(length, cells)) // stride, "float32")
    steps = ops.maximum(ops.cast(seen, "float32") - 1.0, 1.0)
    position = ops.cast(place - first, "float32") * last / steps
    share = ops.relu(1.0 - ops.abs(position[:, None] - ops.cast(offset, "float32") / stride))
    return ops.where(ops.equal(offset % stride, 0), share, 0.0)


@keras.saving.register_keras_serializable(package="deeplab")
class WindowMean(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """The means over all windows of `cells` x `cells`.

    A map of (n, h, w, c) has h - cells + 1 times w - cells + 1 of them. Along a side that is
    shorter than a window there is one window, which is all of it.
    """

    def __init__(self, cells: int, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.cells = cells

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to means (n, windows down, windows across, c)."""
        _, height, width, _ = ops.shape(x)
        # In float32: a half cannot hold the sum of a thousand features.
        wide = ops.cast(x, "float32")
        rows = ops.cast(ops.minimum(height, self.cells), "float32")
        columns = ops.cast(ops.minimum(width, self.cells), "float32")
        wide = apply_rows(window_matrix(height, self.cells), wide) / rows
        wide = apply_columns(window_matrix(width, self.cells), wide) / columns
        return ops.cast(wide, x.dtype)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        count, *sides, channels = shape
        windows = (side and max(side - self.cells, 0) + 1 for side in sides)
        return (count, *windows, channels)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "cells": self.cells}


@keras.saving.register_keras_serializable(package="deeplab")
class WindowPlaces(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Values of windows carried to the places of the map that the windows are of.

    With `span` equal to `cells` each place gets the value of the window around it, shifted to stay
    inside: a map of exactly `cells` x `cells` gets one value everywhere, as from the original's
    image pooling, and in a larger map the value of a place does not depend on how large the map is.
    With a larger span, the side of the training crop, a place gets what it had in a crop around it
    from every `strides`-th window there, resized to the crop.
    """

    def __init__(
        self,
        cells: int,
        *,
        span: int,
        strides: tuple[int, int] = (1, 1),
        **layer: Any,  # noqa: ANN401  keras' own arguments
    ) -> None:
        super().__init__(**layer)
        self.cells, self.span, self.strides = cells, span, tuple(strides)

    def call(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Values of windows (n, windows down, windows across, c) and the map (n, h, w, any).

        Returns:
            Values of places (n, h, w, c).
        """
        values, like = maps
        rows, columns = (
            ops.cast(place_matrix(length, self.cells, self.span, stride), values.dtype)
            for length, stride in zip(ops.shape(like)[1:3], self.strides, strict=True)
        )
        return apply_columns(columns, apply_rows(rows, values))

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the result."""
        values, like = shapes
        return (values[0], like[1], like[2], values[3])

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        own = {"cells": self.cells, "span": self.span, "strides": self.strides}
        return {**super().get_config(), **own}
