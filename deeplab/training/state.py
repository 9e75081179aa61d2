"""Everything that a step of training reads and writes: what a checkpoint must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.bundles.weights import named_weights
from deeplab.errors import TrainingError
from deeplab.models.layers.dropout_attention import TRAINING_STEP
from deeplab.training.distribution import Replicas

Tensor = Any  # TensorFlow has no types


class State:
    """The variables of a training.

    Args:
        network: that learns, made in the scope of `replicas`.
        averaged: one like it, for the moving average of its weights; None: none is kept.
        slots: names of what the optimiser remembers of each weight.
        first_scale: of the loss.
        replicas: of the network.
        companion: trained beside it and never saved as a model; None: there is none.
        companion_slots: names of what the companion's optimiser remembers of each weight.

    Attributes:
        weights: of the network, trainable.
        statistics: what it counts itself, as the means of batch normalisation.
        slots: of the optimiser, by name, for each weight.
        averages: of the weights; empty where none is kept.
        companion_weights: of the companion; empty where there is none.
        companion_slots: of its optimiser, by name, for each of its weights.
        step: steps taken.
        updates: those that moved the weights.
        scale: by which the loss is multiplied before its gradient is taken.
        since_overflow: updates since the scale last moved.
        is_non_finite: the loss was no number; no step changes anything from then on.
    """

    def __init__(
        self,
        *,
        network: keras.Model,
        averaged: keras.Model | None,
        slots: Sequence[str],
        first_scale: float,
        replicas: Replicas,
        companion: keras.Model | None = None,
        companion_slots: Sequence[str] = (),
    ) -> None:
        self._network, self._averaged = network, averaged
        self._replicas = replicas
        counted = [v for v in network.non_trainable_variables if not is_seed(v)]
        self.weights = [v.value for v in network.trainable_variables]
        self.statistics = [v.value for v in counted]
        self.averages = [v.value for v in averaged.trainable_variables] if averaged else []
        beside = companion.trainable_variables if companion else []
        self.companion_weights = [v.value for v in beside]
        with replicas.scope():
            self.slots = _slots(slots, self.weights)
            self.companion_slots = _slots(companion_slots, self.companion_weights)
            self.step, self.updates, self.since_overflow = (_zeros((), tf.int64) for _ in range(3))
            self.scale = tf.Variable(first_scale, trainable=False)
            self.is_non_finite = tf.Variable(False, trainable=False)  # noqa: FBT003  its first value
        named_weights(network)  # refuses two of one name, of which a checkpoint would keep one
        paths = [v.path for v in network.trainable_variables]
        self._named = dict(zip((f"weights/{path}" for path in paths), self.weights, strict=True))
        self._named |= {f"statistics/{v.path}": v.value for v in counted}
        self._named |= dict(zip((f"average/{p}" for p in paths), self.averages, strict=False))
        for name, values in self.slots.items():
            self._named |= dict(zip((f"{name}/{path}" for path in paths), values, strict=True))
        for name, values in {"weights": self.companion_weights, **self.companion_slots}.items():
            its_paths = (f"companion/{name}/{v.path}" for v in beside)
            self._named |= dict(zip(its_paths, values, strict=True))
        for name in ("step", "updates", "since_overflow", "scale"):
            self._named[name] = getattr(self, name)
        if self.averages:
            for average, weight in zip(self.averages, self.weights, strict=True):
                average.assign(weight.numpy())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that is needed to go on, by name."""
        return {name: np.asarray(variable.numpy()) for name, variable in self._named.items()}

    def check(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Raise unless `restore` can take these.

        Raises:
            TrainingError: they are another network's or another optimiser's.
        """
        wanted = {
            name: (tuple(variable.shape), np.dtype(variable.dtype.as_numpy_dtype))
            for name, variable in self._named.items()
        }
        if wanted != {name: (array.shape, array.dtype) for name, array in arrays.items()}:
            raise TrainingError("the checkpoint is of another network; choose another work folder")

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `arrays()` was taken.

        Raises:
            TrainingError: they are another network's or another optimiser's.
        """
        self.check(arrays)
        for name, variable in self._named.items():
            variable.assign(arrays[name])

    def model(self) -> keras.Model:
        """The network to be judged and kept: that of the averaged weights, where there is one.

        Its statistics are taken as they are: they are moving averages already, and to average them
        again would only let them lag behind.
        """
        if self._averaged is None:
            return self._network
        pairs = zip(
            self._averaged.non_trainable_variables,
            self._network.non_trainable_variables,
            strict=True,
        )
        for average, counted in pairs:
            average.value.assign(counted.value.numpy())
        return self._averaged


def is_step(variable: keras.Variable) -> bool:
    """Return whether a variable is to hold the number of steps before the one that is computed."""
    return bool(variable.name == TRAINING_STEP)


def is_seed(variable: keras.Variable) -> bool:
    """Return whether a variable counts random draws; all others are floating point."""
    return not np.issubdtype(np.dtype(tf.as_dtype(variable.dtype).as_numpy_dtype), np.floating)


def _slots(names: Sequence[str], weights: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    return {name: [_zeros(w.shape, tf.float32) for w in weights] for name in names}


def _zeros(shape: Any, dtype: Any) -> tf.Variable:  # noqa: ANN401
    return tf.Variable(tf.zeros(shape, dtype), trainable=False)
