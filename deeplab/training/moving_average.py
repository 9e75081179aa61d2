"""Moving averages of a network's weights and of its statistics, which forget their beginnings.

A moving average keeps a share of itself at each step. Of what it began with - zeros, ones, weights
that nobody has trained - much is left in it after a short training. So in its youth it keeps
(1 + n) / (10 + n) at step n, until that is more than the share it was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
import tensorflow as tf

from deeplab.training.optimizer import layers_of
from deeplab.training.state import is_seed

Tensor = Any  # TensorFlow has no types


def young_share(updates: Tensor) -> Tensor:
    """Return the share of itself that an average of so many values keeps at most, float32 ()."""
    count = tf.cast(updates, tf.float32)
    return (1.0 + count) / (10.0 + count)


@dataclass(frozen=True, slots=True)
class WeightAverage:
    """The average of weights over the steps of a training.

    Attributes:
        decay: The share of itself that it keeps at a step.
    """

    decay: float

    def after(
        self, averages: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor
    ) -> list[Tensor]:
        """Return the averages after a step.

        Args:
            averages: before it; none where no average is kept.
            weights: after it.
            updates: steps that moved the weights before it, int64 ().
        """
        decay = tf.minimum(float(self.decay), young_share(updates))
        return [
            weight + decay * (tf.convert_to_tensor(average) - weight)
            for average, weight in zip(averages, weights, strict=bool(averages))
        ]


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """The means and variances that batch normalisation counts.

    Attributes:
        kept: The share of itself that each keeps at a step by its layer, in the order of a
            network's variables that are neither trained nor seeds.
    """

    kept: tuple[float, ...]

    @classmethod
    def of(cls, network: keras.Model) -> Self:
        """Return those of a network; what is no statistic of batch normalisation keeps nothing."""
        shares = {
            variable.path: layer.momentum
            for layer in layers_of(network)
            if isinstance(layer, keras.layers.BatchNormalization)
            for variable in layer.non_trainable_variables
        }
        counted = [v for v in network.non_trainable_variables if not is_seed(v)]
        return cls(tuple(shares.get(v.path, 0.0) for v in counted))

    def after(
        self, before: Sequence[Tensor], counted: Sequence[Tensor], updates: Tensor
    ) -> list[Tensor]:
        """Return the statistics after some patches.

        Args:
            before: those before them.
            counted: what the layers make of these, by their own share.
            updates: steps that moved the weights before, int64 ().
        """
        young = young_share(updates)
        return [
            old + (new - old) * (1.0 - tf.minimum(kept, young)) / (1.0 - kept)
            for old, new, kept in zip(before, counted, self.kept, strict=True)
        ]
