"""Paths left out in training, sample by sample (Zoph et al. 2018, arXiv:1707.07012)."""

from __future__ import annotations

from typing import Any

import keras

from deeplab.models.layers.resize import Tensor


@keras.saving.register_keras_serializable(package="deeplab")
class DropPath(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """In training, zeros for all of some samples, and more of the others; else nothing.

    `keep` is the share of samples that are kept; they are divided by it, so that the mean stays.
    """

    def __init__(self, keep: float, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.keep = keep
        self.dropout = keras.layers.Dropout(1 - keep, noise_shape=(None, 1, 1, 1))

    def call(self, x: Tensor, *, training: bool = False) -> Tensor:
        """Map (n, h, w, c) to the same shape."""
        return self.dropout(x, training=training)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result: that of the input."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "keep": self.keep}
