"""Progressive Dropout Attention (Han et al. 2022, arXiv:2110.08048).

What speaks most for a class is left out of the features in training, and more of it from epoch to
epoch, so that the network looks for the rest of the class, too.
"""

from __future__ import annotations

import math
from typing import Any, Final

import keras
from keras import ops

from deeplab.models.layers.resize import Tensor

# The name of a weight that a training sets, before each step, to the number of steps before it.
TRAINING_STEP: Final = "training_step"


def dropped_attention(class_maps: Tensor, gamma: Tensor | float) -> Tensor:
    """Return the mean of the classes' activations, (n, h, w, 1), without the highest of each.

    Args:
        class_maps: what speaks for each class, (n, h, w, classes), below 0 as 0.
        gamma: what is above this share of a class's highest value in a patch is taken for 0.
    """
    speaking = ops.relu(class_maps)
    most = ops.max(speaking, axis=(1, 2), keepdims=True)
    kept = ops.where(speaking > gamma * most, ops.zeros_like(speaking), speaking)
    return ops.mean(kept, axis=-1, keepdims=True)


@keras.saving.register_keras_serializable(package="deeplab")
class ProgressiveDropoutAttention(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Multiplies features by what is left of the classes' activations; else than in training, by 1.

    Args:
        epoch_steps: steps of what the other settings call an epoch.
        start: epochs before the first in which features are multiplied.
        gamma: the share of a class's highest activation that is kept, in the first epoch.
        decay: what it is multiplied by at the end of each epoch.
        floor: it falls no further once it is that or below.
    """

    def __init__(
        self,
        *,
        epoch_steps: int,
        start: int,
        gamma: float,
        decay: float,
        floor: float,
        **layer: Any,  # noqa: ANN401  keras' own arguments
    ) -> None:
        super().__init__(**layer)
        self.epoch_steps, self.start = epoch_steps, start
        self.gamma, self.decay, self.floor = gamma, decay, floor

    def build(self, features_shape: Any, class_maps_shape: Any) -> None:  # noqa: ANN401, ARG002  keras' shapes
        """Make the counter of steps, which a checkpoint keeps."""
        self.step = self.add_weight(
            name=TRAINING_STEP, shape=(), dtype="float32", initializer="zeros", trainable=False
        )

    def gamma_at(self, step: Tensor | float) -> Tensor:
        """Return the share that is kept after so many steps, float32 ()."""
        falls = 0
        if self.decay < 1 and self.gamma > self.floor:
            falls = math.ceil(math.log(self.floor / self.gamma) / math.log(self.decay) - 1e-9)
        epochs = ops.floor(ops.cast(step, "float32") / self.epoch_steps)
        return self.gamma * self.decay ** ops.minimum(epochs, float(falls))

    def call(self, features: Tensor, class_maps: Tensor, *, training: bool = False) -> Tensor:
        """Map features (n, h, w, c), with (n, h, w, classes) beside them, to the same shape."""
        if not training:
            return features
        gamma = ops.cast(self.gamma_at(self.step), class_maps.dtype)
        attended = features * dropped_attention(class_maps, gamma)
        return ops.where(self.step < self.start * self.epoch_steps, features, attended)

    def compute_output_shape(
        self,
        features_shape: tuple[int | None, ...],
        class_maps_shape: tuple[int | None, ...],  # noqa: ARG002  keras tells both inputs'
    ) -> tuple[int | None, ...]:
        """Shape of the result: that of the features."""
        return features_shape

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {
            **super().get_config(),
            "epoch_steps": self.epoch_steps,
            "start": self.start,
            "gamma": self.gamma,
            "decay": self.decay,
            "floor": self.floor,
        }
