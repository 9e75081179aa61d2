"""Batch norm that single values do not spoil."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from deeplab.models.layers.resize import Tensor


@keras.saving.register_keras_serializable(package="deeplab")
class BatchNorm(layers.BatchNormalization):  # type: ignore[misc]  # keras has no types
    """Batch norm of maps (n, h, w, c), also where a training step shows it one value a channel.

    Of one patch, image pooling gives one value a channel, and the coarsest map may be one. A value
    is its own mean and has no variance: Keras' layer makes zeros of it, learns that the variance is
    0, and on a slide divides by that. Here single values are normalised by what the layer knows, as
    on a slide, and teach it nothing. All else is as in Keras, to the last bit.
    """

    def call(
        self,
        inputs: Tensor,
        training: bool | None = None,  # noqa: FBT001  keras' own
        mask: Any = None,  # noqa: ANN401  keras' own
    ) -> Tensor:
        """Return the map (n, h, w, c), normalised."""
        if not training or not self.trainable or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        x = ops.cast(inputs, "float32")
        count, height, width, _ = ops.shape(x)
        is_single = ops.equal(count * height * width, 1)
        moving = (self.moving_mean, self.moving_variance)
        known = [ops.cast(statistic, "float32") for statistic in moving]
        seen = ops.moments(x, axes=(0, 1, 2))
        for statistic, before, new in zip(moving, known, seen, strict=True):
            after = before * self.momentum + new * (1.0 - self.momentum)
            statistic.assign(ops.where(is_single, before, after))
        mean, variance = (ops.where(is_single, *both) for both in zip(known, seen, strict=True))
        out = ops.batch_normalization(
            x,
            mean=mean,
            variance=variance,
            axis=self.axis,
            offset=ops.cast(self.beta, "float32"),
            scale=ops.cast(self.gamma, "float32"),
            epsilon=self.epsilon,
        )
        return ops.cast(out, self.compute_dtype)
