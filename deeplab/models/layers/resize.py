"""Bilinear resizing: corners stay corners, as in TensorFlow 1, or borders borders."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# A Keras or backend tensor; both lack a common static type.
Tensor = Any


def interpolation_matrix(length_out: Tensor, length_in: Tensor) -> Tensor:
    """Weights (length_out, length_in) that carry samples to an align-corners grid, float32."""
    rows = ops.cast(ops.arange(length_out), "float32")
    columns = ops.cast(ops.arange(length_in), "float32")
    cells = ops.cast(length_in, "float32") - 1.0
    steps = ops.maximum(ops.cast(length_out, "float32") - 1.0, 1.0)
    # Multiplied before divided: positions on a whole factor are then exact, in every tile alike.
    position = rows * cells / steps
    return ops.relu(1.0 - ops.abs(position[:, None] - columns[None, :]))


def apply_rows(matrix: Tensor, x: Tensor) -> Tensor:
    """`matrix` (o, h) times every column of `x` (n, h, w, c): (n, o, w, c)."""
    _, height, width, channels = ops.shape(x)
    flat = ops.reshape(x, (-1, height, width * channels))
    return ops.reshape(
        ops.matmul(matrix, flat), (-1, ops.shape(matrix)[0], width, int(x.shape[-1]))
    )


def apply_columns(matrix: Tensor, x: Tensor) -> Tensor:
    """`matrix` (o, w) times every row of `x` (n, h, w, c): (n, h, o, c)."""
    return ops.matmul(matrix, x)


def resize_align_corners(x: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """`x` (n, h, w, c) resized to (n, height, width, c); sizes may be numbers or tensors.

    Written as two matrix products: exact at whole factors, and their gradients are matrix products
    too, which are fast and, unlike scattered sums, the same at every run.
    """
    rows = ops.cast(interpolation_matrix(height, ops.shape(x)[1]), x.dtype)
    columns = ops.cast(interpolation_matrix(width, ops.shape(x)[2]), x.dtype)
    return apply_columns(columns, apply_rows(rows, x))


def enlarge_align_corners(x: Tensor, factor: int) -> Tensor:
    """Return `x` (n, h, w, c) with `factor` steps from each cell to the next, on both axes.

    That is `resize_align_corners` to (n, (h - 1) factor + 1, (w - 1) factor + 1, c). The time it
    takes grows with the map's area, not with its side to the third.
    """
    if factor == 1:
        return x
    count, height, width, channels = ops.shape(x)
    steps = [step / factor for step in range(factor)]
    upper, lower = x[:, :-1], x[:, 1:]
    rows = ops.stack([(1 - step) * upper + step * lower for step in steps], axis=2)
    rows = ops.reshape(rows, (count, (height - 1) * factor, width, channels))
    x = ops.concatenate([rows, x[:, -1:]], axis=1)
    left, right = x[:, :, :-1], x[:, :, 1:]
    columns = ops.stack([(1 - step) * left + step * right for step in steps], axis=3)
    shape = (count, (height - 1) * factor + 1, (width - 1) * factor, channels)
    return ops.concatenate([ops.reshape(columns, shape), x[:, :, -1:]], axis=2)


@keras.saving.register_keras_serializable(package="deeplab")
class ResizeLike(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Resize the first of two maps to the height and width of the second."""

    def call(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Maps (n, h, w, c) and (n, h2, w2, any) to (n, h2, w2, c)."""
        x, like = maps
        return resize_align_corners(x, ops.shape(like)[1], ops.shape(like)[2])

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the result."""
        x, like = shapes
        return (x[0], like[1], like[2], x[3])


@keras.saving.register_keras_serializable(package="deeplab")
class Resize(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Resize a map by a whole factor: the distance of its corners grows or shrinks by it."""

    def __init__(self, *, up: int = 1, down: int = 1, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.up, self.down = up, down

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to (n, h2, w2, c)."""
        height, width = (self._resized(length) for length in ops.shape(x)[1:3])
        return resize_align_corners(x, height, width)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        count, *sides, channels = shape
        return (count, *(side and self._resized(side) for side in sides), channels)

    def _resized(self, length: Tensor) -> Tensor:
        return (length - 1) * self.up // self.down + 1

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "up": self.up, "down": self.down}


def pixel_matrix(length_out: Tensor, length_in: Tensor) -> Tensor:
    """Weights (length_out, length_in) that carry pixels to others in the same borders, float32."""
    rows = ops.cast(ops.arange(length_out), "float32")
    columns = ops.cast(ops.arange(length_in), "float32")
    count_in, count_out = ops.cast(length_in, "float32"), ops.cast(length_out, "float32")
    position = ops.clip((rows + 0.5) * count_in / count_out - 0.5, 0.0, count_in - 1.0)
    return ops.relu(1.0 - ops.abs(position[:, None] - columns[None, :]))


def resize_pixels(x: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Return `x` (n, h, w, c) resized to float32 (n, height, width, c), its borders kept."""
    wide = ops.cast(x, "float32")
    rows = pixel_matrix(height, ops.shape(x)[1])
    columns = pixel_matrix(width, ops.shape(x)[2])
    return apply_columns(columns, apply_rows(rows, wide))


@keras.saving.register_keras_serializable(package="deeplab")
class ResizePixelsLike(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Resize the first of two maps to the height and width of the second, its borders kept."""

    def call(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Maps (n, h, w, c) and (n, h2, w2, any) to float32 (n, h2, w2, c)."""
        x, like = maps
        return resize_pixels(x, ops.shape(like)[1], ops.shape(like)[2])

    def compute_output_spec(self, maps: tuple[Tensor, Tensor]) -> keras.KerasTensor:
        """Shape and type of the result."""
        x, like = maps
        return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[3]), "float32")


@keras.saving.register_keras_serializable(package="deeplab")
class ResizePixels(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Resize a map by `times`/`over`, its borders kept."""

    def __init__(self, times: int, over: int, **layer: Any) -> None:  # noqa: ANN401  keras' own
        super().__init__(**layer)
        self.times, self.over = times, over

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to float32 of the other size."""
        height, width = ops.shape(x)[1:3]
        times, over = self.times, self.over
        return resize_pixels(x, height * times // over, width * times // over)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        """Shape and type of the result."""
        sides = (side and side * self.times // self.over for side in x.shape[1:3])
        return keras.KerasTensor((x.shape[0], *sides, x.shape[3]), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "times": self.times, "over": self.over}


@keras.saving.register_keras_serializable(package="deeplab")
class Double(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Double the sides of a map: bilinear, each pixel parted into four around its middle.

    Keras' `UpSampling2D` does the same, but not where sides are known only when it runs: then
    neither OpenVINO can take it nor TensorFlow a second tile size.
    """

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to (n, 2 h, 2 w, c)."""
        _, height, width, _ = ops.shape(x)
        channels = int(x.shape[-1])
        before, after = _neighbours(x, axis=1)
        rows = ops.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=2)
        x = ops.reshape(rows, (-1, 2 * height, width, channels))
        before, after = _neighbours(x, axis=2)
        columns = ops.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=3)
        return ops.reshape(columns, (-1, 2 * height, 2 * width, channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        count, *sides, channels = shape
        return (count, *(side and 2 * side for side in sides), channels)


def _neighbours(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the map moved by one pixel to either side along an axis, its edge repeated."""
    rows = axis == 1
    first, last = (x[:, :1], x[:, -1:]) if rows else (x[:, :, :1], x[:, :, -1:])
    most, rest = (x[:, :-1], x[:, 1:]) if rows else (x[:, :, :-1], x[:, :, 1:])
    return ops.concatenate([first, most], axis=axis), ops.concatenate([rest, last], axis=axis)
