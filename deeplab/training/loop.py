"""Steps of gradient descent, with checkpoints to go on from.

Keras 3's `Model.fit` fails under MultiWorkerMirroredStrategy, and a loop that is written out can
stop and go on between any two steps; hence our own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import keras
import tensorflow as tf

from deeplab.config.train_request import TrainRequest
from deeplab.data.batches import Batch
from deeplab.errors import OutputError, TrainingError
from deeplab.models.loss import Loss, loss_share
from deeplab.training.schedule import SlowStartPoly

CHECKPOINT_EVERY_S = 300.0
MOMENTUM = 0.9
CLIP_NORM = 1.0  # of all gradients together: one odd patch must not throw a small data set's run


def make_optimizer(request: TrainRequest, network: keras.Model) -> keras.optimizers.Optimizer:
    """The optimiser of a request; weight decay takes kernels only, as is the custom."""
    schedule = SlowStartPoly(
        start=request.learning_rate_start,
        peak=request.learning_rate,
        end=request.end_learning_rate,
        slow_steps=min(request.slow_start_step, request.steps // 2),
        steps=request.steps,
        power=request.learning_power,
    )
    kind = {
        "adamw": keras.optimizers.AdamW,
        "momentum": lambda **kw: keras.optimizers.SGD(momentum=MOMENTUM, **kw),
    }[request.optimizer]
    optimizer = kind(
        learning_rate=schedule, weight_decay=request.weight_decay, global_clipnorm=CLIP_NORM
    )
    free = [v for v in network.trainable_variables if not v.path.endswith("kernel")]
    optimizer.exclude_from_weight_decay(var_list=free)
    if request.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


def freeze_batch_norm(network: keras.Model) -> None:
    """Keep every batch normalisation as it is: its statistics, scale and offset."""
    for layer in network._flatten_layers():  # noqa: SLF001  Keras has no public way to inner layers
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


class Trainer:
    """A network, what it is to learn, and how far it is.

    Args:
        network: uint8 RGB (n, side, side, 3) in, named maps out.
        optimizer: built on the network's trainable variables.
        losses: by output.
        folder: for checkpoints.
        after_save: called with the steps done when a checkpoint has been written.
    """

    def __init__(
        self,
        *,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        losses: Mapping[str, Loss],
        folder: Path,
        after_save: Callable[[int], None],
    ) -> None:
        self.network, self.optimizer, self.losses, self.folder = network, optimizer, losses, folder
        self._done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._state = tf.train.Checkpoint(network=network, optimizer=optimizer, done=self._done)
        self._manager = tf.train.CheckpointManager(self._state, str(folder), max_to_keep=2)
        self._after_save = after_save
        self._one_step = tf.function(self._descend)
        self._saved_at = time.monotonic()

    @property
    def steps_done(self) -> int:
        """Steps taken, those of the runs before this one included."""
        return int(self._done.numpy())

    def restore(self) -> int:
        """Take up the newest checkpoint in the folder; the number of steps done, 0 without one."""
        if self._manager.latest_checkpoint:
            self._state.restore(self._manager.latest_checkpoint).assert_existing_objects_matched()
        return self.steps_done

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            OutputError: the folder cannot be written or the disk is full.
        """
        try:
            self._manager.save(checkpoint_number=self.steps_done)
        except (tf.errors.OpError, OSError) as error:
            raise OutputError(
                self.folder, "no checkpoint could be saved; is the disk full?"
            ) from error
        self._saved_at = time.monotonic()
        self._after_save(self.steps_done)

    def fit(self, batches: Iterable[Batch], after_step: Callable[[int, float], None]) -> None:
        """One step a batch; `after_step(steps done, loss)` after each.

        Raises:
            TrainingError: the loss is no longer a number.
            OutputError: a checkpoint cannot be written.
        """
        for batch in batches:
            loss = float(self._one_step(tf.constant(batch.rgb), tf.constant(batch.labels)))
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is {loss} at step {self.steps_done}; lower the learning rate. "
                    f"The last good checkpoint is in {self.folder}"
                )
            self._done.assign_add(1)
            if time.monotonic() - self._saved_at > CHECKPOINT_EVERY_S:
                self.save()
            after_step(self.steps_done, loss)

    def _descend(self, rgb: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            maps = self.network(rgb, training=True)
            loss = tf.add_n(
                [
                    loss_share(
                        loss.errors(labels, maps[name], self._done),
                        tf.reduce_sum(loss.weights(labels, self._done), axis=0),
                    )
                    for name, loss in self.losses.items()
                ]
            )
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss
