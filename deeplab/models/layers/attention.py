"""Attention of tokens: to all others, or to those of the same window (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from deeplab.models.layers.resize import Tensor

BESIDE = -100.0  # added to the attention between tokens that only a shift has made neighbours


def _attend(qkv: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Attention of (n, t, 3 c), queries, keys and values side by side, to (n, t, c).

    `bias` (n or 1, heads, t, t) is added to what softmax gets.
    """
    tokens, width = int(qkv.shape[1]), int(qkv.shape[2]) // 3
    parts = ops.reshape(qkv, (-1, tokens, 3, heads, width // heads))
    query, key, value = (ops.transpose(parts[:, :, i], (0, 2, 1, 3)) for i in range(3))
    scores = ops.matmul(query * (width // heads) ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
    if bias is not None:
        scores = scores + ops.cast(bias, scores.dtype)
    mixed = ops.matmul(ops.softmax(scores, axis=-1), value)  # (n, heads, t, c/heads)
    return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, tokens, width))


@keras.saving.register_keras_serializable(package="deeplab")
class Attention(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Attention of all tokens to all tokens, in several heads."""

    def __init__(self, heads: int, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.heads = heads

    def call(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values (n, t, 3 c) to (n, t, c)."""
        return _attend(qkv, self.heads)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return (*shape[:-1], int(shape[-1] or 0) // 3)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="deeplab")
class ClassToken(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """A learnt token before those of a map, and a learnt place added to each of all."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        _, height, width, channels = shape
        count = 1 + int(height or 0) * int(width or 0)
        self.cls_token = self.add_weight(
            shape=(1, 1, channels), initializer="zeros", name="cls_token"
        )
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.pos_embed = self.add_weight(
            shape=(1, count, channels), initializer=small, name="pos_embed"
        )

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to tokens (n, 1 + h w, c)."""
        height, width, channels = (int(length) for length in x.shape[1:])
        tokens = ops.reshape(x, (-1, height * width, channels))
        first = ops.broadcast_to(self.cls_token, (ops.shape(tokens)[0], 1, channels))
        return ops.concatenate([ops.cast(first, tokens.dtype), tokens], axis=1) + self.pos_embed

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return (shape[0], 1 + int(shape[1] or 0) * int(shape[2] or 0), shape[3])


class _Windows(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """What cutting into windows and putting together again have in common."""

    def __init__(
        self,
        *,
        height: int,
        width: int,
        window: int,
        shift: int,
        **layer: Any,  # noqa: ANN401  keras' own arguments
    ) -> None:
        super().__init__(**layer)
        self.height, self.width, self.window, self.shift = height, width, window, shift
        self.down, self.across = (math.ceil(side / window) for side in (height, width))

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        mine = {name: getattr(self, name) for name in ("height", "width", "window", "shift")}
        return {**super().get_config(), **mine}


@keras.saving.register_keras_serializable(package="deeplab")
class SplitWindows(_Windows):
    """Tokens of each window of a map, which is moved up and left first, around its edges.

    Where windows do not fit, the map is made longer by zeros behind.
    """

    def call(self, x: Tensor) -> Tensor:
        """Map (n, height, width, c) to (n windows, window^2, c)."""
        if self.shift:
            x = ops.roll(x, (-self.shift, -self.shift), axis=(1, 2))
        side, channels = self.window, int(x.shape[-1])
        below, right = self.down * side - self.height, self.across * side - self.width
        if below or right:
            x = ops.pad(x, ((0, 0), (0, below), (0, right), (0, 0)))
        x = ops.reshape(x, (-1, self.down, side, self.across, side, channels))
        return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, side * side, channels))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return (None, self.window**2, shape[-1])


@keras.saving.register_keras_serializable(package="deeplab")
class JoinWindows(_Windows):
    """The map whose windows `SplitWindows` has cut."""

    def call(self, x: Tensor) -> Tensor:
        """Windows (n windows, window^2, c) to a map (n, height, width, c)."""
        side, channels = self.window, int(x.shape[-1])
        x = ops.reshape(x, (-1, self.down, self.across, side, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, self.down * side, self.across * side, channels))
        x = x[:, : self.height, : self.width]
        return ops.roll(x, (self.shift, self.shift), axis=(1, 2)) if self.shift else x

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return (None, self.height, self.width, shape[-1])


@keras.saving.register_keras_serializable(package="deeplab")
class WindowAttention(_Windows):
    """Attention within windows, with a learnt bias for each distance of two tokens."""

    def __init__(self, heads: int, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.heads = heads

    def build(self, _shape: tuple[int | None, ...]) -> None:
        """Make the weight."""
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.table = self.add_weight(
            shape=((2 * self.window - 1) ** 2, self.heads),
            initializer=small,
            name="relative_position_bias_table",
        )

    def call(self, qkv: Tensor) -> Tensor:
        """Queries, keys and values (n windows, window^2, 3 c) to (n windows, window^2, c)."""
        tokens = self.window**2
        bias = ops.take(self.table, relative_places(self.window).ravel(), axis=0)
        bias = ops.transpose(ops.reshape(bias, (tokens, tokens, self.heads)), (2, 0, 1))[None]
        if self.shift:
            # Of all windows of a patch; patches follow each other.
            mask = self._mask()[:, None]
            bias = ops.tile(bias + mask, (ops.shape(qkv)[0] // (self.down * self.across), 1, 1, 1))
        return _attend(qkv, self.heads, bias)

    def _mask(self) -> NDArray[np.float32]:
        """Return what keeps tokens apart, (windows, window^2, window^2)."""
        rows, columns = (
            _regions(count * self.window, self.window, self.shift)
            for count in (self.down, self.across)
        )
        places = rows[:, None] * 3 + columns[None]
        side = self.window
        places = places.reshape(self.down, side, self.across, side).transpose(0, 2, 1, 3)
        places = places.reshape(-1, side * side)
        apart = places[:, :, None] != places[:, None]
        return np.where(apart, np.float32(BESIDE), np.float32(0))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return (*shape[:-1], int(shape[-1] or 0) // 3)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "heads": self.heads}


def _regions(length: int, window: int, shift: int) -> NDArray[np.int64]:
    """Return which part of a moved row each token is from: what came around is another one."""
    return np.repeat([0, 1, 2], [length - window, window - shift, shift])


def relative_places(window: int) -> NDArray[np.int64]:
    """Return which row of the table of biases each pair of tokens has, (window^2, window^2)."""
    rows, columns = np.divmod(np.arange(window * window), window)
    down = rows[:, None] - rows[None] + window - 1
    across = columns[:, None] - columns[None] + window - 1
    places: NDArray[np.int64] = down * (2 * window - 1) + across
    return places


@keras.saving.register_keras_serializable(package="deeplab")
class MergePatches(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Four neighbours of a map as one of four times the channels."""

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to (n, h/2, w/2, 4 c): (0, 0), (1, 0), (0, 1), (1, 1)."""
        parts = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        height, width = (None if side is None else side // 2 for side in shape[1:3])
        return (shape[0], height, width, 4 * int(shape[3] or 0))


@keras.saving.register_keras_serializable(package="deeplab")
class ChannelScale(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """A learnt factor for each channel, small at first (Touvron et al. 2021, arXiv:2103.17239)."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weight."""
        small = keras.initializers.Constant(1e-6)
        self.gamma = self.add_weight(shape=(shape[-1],), initializer=small, name="gamma")

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to the same shape."""
        return x * self.gamma

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result: that of the input."""
        return shape
