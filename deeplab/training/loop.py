"""Steps of gradient descent, the same for one replica of the network and for many.

Keras 3's `Model.fit` fails under MultiWorkerMirroredStrategy, and a loop that is written out can
stop and go on between any two steps; hence our own. A step is a function from the state and some
patches to the next state, and is stored only where it is sound: what a checkpoint holds is never
spoilt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.config.train_request import DescentSettings, ReducePrecision
from deeplab.data.batches import Batch
from deeplab.models.family import Companion
from deeplab.models.loss import (
    Loss,
    MapTensors,
    SumOfLosses,
    TargetTensors,
    loss_of_each,
    loss_terms,
)
from deeplab.training.distribution import (
    Replicas,
    joined_over_replicas,
    replica_number,
    sum_over_replicas,
)
from deeplab.training.loss_scaling import LossScaling, ScaleState
from deeplab.training.moving_average import BatchStatistics, WeightAverage
from deeplab.training.optimizer import (
    UpdateContext,
    companion_rule,
    layers_of,
    rule_of,
    weight_groups,
)
from deeplab.training.rematerialisation import Rematerialised
from deeplab.training.schedule import schedule_of
from deeplab.training.state import State, is_seed, is_step

Tensor = Any  # TensorFlow has no types

# On a GPU a step is looked at when so many later ones have begun: it never waits for the host.
BEHIND = 2
DRAWS = 2**10  # more than one pass through a network draws at random


class StepDone(NamedTuple):
    """What is known of a step.

    Attributes:
        step: its number, counted from 1.
        loss: of the batch, on all machines together.
        terms: what each term of the loss adds to it, by name.
        is_sound: the loss and its gradients are numbers.
        numbers: (n,) of the patches of all machines.
        places: (n, 3) where they were cut.
        losses: (n,) of each patch alone.
    """

    step: int
    loss: float
    terms: Mapping[str, float]
    is_sound: bool
    numbers: NDArray[np.int64]
    places: NDArray[np.float64]
    losses: NDArray[np.float32]


class _Found(NamedTuple):
    """What some patches of a replica amount to."""

    gradients: Sequence[Tensor]  # of the network's weights, then of the companion's
    statistics: Sequence[Tensor]
    terms: Tensor  # (terms,) their share of each term of the loss of the batch
    losses: Tensor  # (n,) of each patch


class Trainer:
    """A network, what it is to learn, and how far it is.

    Args:
        network: uint8 RGB (n, side, side, 3) in, named maps out; made in the scope of `replicas`.
        averaged: one like it, for the moving average of its weights; None: none is kept.
        loss: of all maps together.
        companion: trained beside it, made in the scope of `replicas`; None: there is none.
        settings: of the descent.
        class_layers: beginnings of the names of the layers of the classes.
        replicas: of the network.
        reduce_precision: in which gradients travel between replicas.
        batch_size: patches of a step, on all machines together.
        seed: of what is random inside the network.

    Attributes:
        state: what a checkpoint must hold.

    Raises:
        ConfigError: the batch cannot be shared out equally.
    """

    def __init__(  # noqa: PLR0913  all that a training comes down to
        self,
        *,
        network: keras.Model,
        averaged: keras.Model | None,
        loss: Loss,
        companion: Companion | None,
        settings: DescentSettings,
        class_layers: tuple[str, ...],
        replicas: Replicas,
        reduce_precision: ReducePrecision,
        batch_size: int,
        seed: int,
    ) -> None:
        self._parts = settings.gradient_accumulation
        replicas.check_batch(batch_size, self._parts)
        self._network, self._settings = network, settings
        self._companion = companion
        self._loss = SumOfLosses((loss, companion.loss)) if companion else loss
        self._replicas, self._batch_size, self._seed = replicas, batch_size, seed
        self._reduced_in = tf.as_dtype(reduce_precision if replicas.count > 1 else "float32")
        self._scaling = LossScaling(
            settings.precision == "mixed_float16" or self._reduced_in == tf.float16
        )
        self._schedule, self._rule = schedule_of(settings), rule_of(settings)
        self._companion_rule = companion_rule(settings)
        self._groups = weight_groups(network, settings, class_layers)
        self._average = WeightAverage(settings.ema_decay)
        self._statistics = BatchStatistics.of(network)
        if replicas.count > 1:
            _synchronise_batch_norm(network)
        self.state = State(
            network=network,
            averaged=averaged,
            slots=self._rule.slots,
            first_scale=self._scaling.first_scale,
            replicas=replicas,
            companion=companion.model if companion else None,
            companion_slots=self._companion_rule.slots,
        )
        self._pass: Callable[..., tuple[dict[str, Tensor], Sequence[Tensor]]] = (
            Rematerialised(network)
            if settings.rematerialisation
            else partial(network.stateless_call, training=True)
        )
        self._one_step = tf.function(self._step, autograph=False)
        self._behind = BEHIND if tf.config.list_logical_devices("GPU") else 0
        self._begun: deque[tuple[Tensor, ...]] = deque()
        self._looked_at = 0

    @property
    def steps_done(self) -> int:
        """Steps that were looked at, those of the runs before this one included."""
        return self._looked_at

    @property
    def is_whole(self) -> bool:
        """Whether all steps that were taken were looked at."""
        return int(self.state.step.numpy()) == self._looked_at

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        return float(self._schedule.rate(step - 1))

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state.arrays()` was taken.

        Raises:
            TrainingError: it was of another network or optimiser.
        """
        self.state.restore(arrays)
        self._looked_at = int(self.state.step.numpy())

    def step(self, batch: Batch) -> Iterator[StepDone]:
        """Begin the step of this machine's batch; the earlier steps that can be looked at now.

        Raises:
            TrainingError: another machine is gone.
        """
        with self._replicas.watched():
            place = self._replicas.place
            targets = {name: place(values) for name, values in batch.targets.items()}
            self._begun.append(self._one_step(place(batch.rgb), targets, place(batch.places)))
        return self._finished_steps(self._behind)

    def finish(self) -> Iterator[StepDone]:
        """Wait for the steps that have begun.

        Raises:
            TrainingError: another machine is gone.
        """
        return self._finished_steps(0)

    def _finished_steps(self, behind: int) -> Iterator[StepDone]:
        """Yield what is known of the steps that have begun, all but the last `behind` of them."""
        while len(self._begun) > behind:
            with self._replicas.watched():
                loss, terms, is_sound, places, losses = (x.numpy() for x in self._begun.popleft())
            first = self._looked_at * self._batch_size
            self._looked_at += bool(is_sound)
            yield StepDone(
                step=first // self._batch_size + 1,
                loss=float(loss),
                terms=dict(zip(self._loss.terms, terms.tolist(), strict=True)),
                is_sound=bool(is_sound),
                numbers=np.arange(first, first + self._batch_size),
                places=places,
                losses=losses,
            )

    # What follows is traced once, into one graph.

    def _step(self, rgb: Tensor, targets: TargetTensors, places: Tensor) -> tuple[Tensor, ...]:
        told, values = self._replicas.run(self._on_replica, rgb, targets, places)
        for variable, value in zip(self._written(), values, strict=True):
            self._replicas.assign(variable, value)
        return tuple(self._replicas.any_of(x) for x in told)

    def _written(self) -> list[tf.Variable]:
        state = self.state
        slots = _by_weight(state.slots)
        beside = [*state.companion_weights, *_by_weight(state.companion_slots)]
        counters = [
            state.step,
            state.updates,
            state.since_overflow,
            state.scale,
            state.is_non_finite,
        ]
        return [*state.weights, *state.statistics, *slots, *state.averages, *beside, *counters]

    def _on_replica(
        self, rgb: Tensor, targets: TargetTensors, places: Tensor
    ) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Return what is told of a step, and the new values of all that is written."""
        state = self.state
        scale = tf.convert_to_tensor(state.scale)
        found = self._compute_gradients(rgb, targets, scale)
        terms = sum_over_replicas(found.terms)
        loss = tf.reduce_sum(terms)
        gradients = [
            tf.cast(g, tf.float32) / scale
            for g in sum_over_replicas([tf.cast(g, self._reduced_in) for g in found.gradients])
        ]
        norm = tf.linalg.global_norm(gradients)
        overflows = self._scaling.overflows(norm, scale)
        is_sound = ~state.is_non_finite.read_value() & tf.math.is_finite(loss)
        is_sound &= tf.math.is_finite(norm) | overflows
        moves = is_sound & ~overflows
        count = len(state.weights)
        own, of_companion = gradients[:count], gradients[count:]
        # The companion's gradients are not the network's: they do not make its own any smaller.
        clipped = self._clipped(own, tf.linalg.global_norm(own) if of_companion else norm)
        values = self._apply_update(found.statistics, clipped)
        values += self._update_companion(of_companion)
        old = [tf.convert_to_tensor(v) for v in self._written()[: len(values)]]
        values = [tf.where(moves, new, before) for new, before in zip(values, old, strict=True)]
        values += self._counted(is_sound, moves, overflows)
        losses = found.losses
        if self._replicas.count > 1:
            losses, places = joined_over_replicas(losses), joined_over_replicas(places)
        return (loss, terms, is_sound, places, losses), values

    def _compute_gradients(self, rgb: Tensor, targets: TargetTensors, scale: Tensor) -> _Found:
        """Loss and gradients of a replica's patches, one part of them after the other."""
        step = tf.convert_to_tensor(self.state.step) + self._settings.global_step
        totals = sum_over_replicas(tf.reduce_sum(self._loss.weights(targets, step), axis=0))
        # One trace for all parts. Replicas meet inside of a part, and so each is traced then.
        microbatch_gradients = self._microbatch_gradients
        if self._replicas.count == 1:
            microbatch_gradients = tf.function(microbatch_gradients, autograph=False)
        statistics: Sequence[Tensor] = [tf.convert_to_tensor(v) for v in self.state.statistics]
        found: list[_Found] = []
        rgb_parts = tf.split(rgb, self._parts)
        target_parts = {name: tf.split(values, self._parts) for name, values in targets.items()}
        for part in range(self._parts):
            # One after the other, or they would take the memory of all at once.
            with tf.control_dependencies(found[-1].gradients if found else []):
                some = tf.identity(rgb_parts[part])
                truth = {name: tf.identity(parts[part]) for name, parts in target_parts.items()}
            draw = (step * self._parts + part) * self._replicas.count
            draw += tf.cast(replica_number(), tf.int64)
            sums = found[-1].gradients if found else None
            found.append(
                _Found(*microbatch_gradients(some, truth, totals, step, statistics, draw, scale))
            )
            statistics = found[-1].statistics
            if sums is not None:
                added = [a + b for a, b in zip(sums, found[-1].gradients, strict=True)]
                found[-1] = found[-1]._replace(gradients=added)
        return _Found(
            gradients=found[-1].gradients,
            statistics=statistics,
            terms=tf.add_n([x.terms for x in found]),
            losses=tf.concat([x.losses for x in found], axis=0),
        )

    def _microbatch_gradients(
        self,
        rgb: Tensor,
        targets: TargetTensors,
        totals: Tensor,
        step: Tensor,
        statistics: Sequence[Tensor],
        draw: Tensor,
        scale: Tensor,
    ) -> tuple[Tensor, ...]:
        """See `_Found`; gradients are those of the loss times `scale`."""
        weights = [tf.convert_to_tensor(v) for v in self.state.weights]
        beside = [tf.convert_to_tensor(v) for v in self.state.companion_weights]
        with tf.GradientTape() as tape:
            tape.watch([*weights, *beside])
            maps, counted = self._pass(weights, self._told(statistics, draw, step), rgb)
            maps |= self._companion_maps(maps, beside)
            errors = self._loss.errors(targets, maps, step)
            terms = loss_terms(errors, totals)
            scaled = tf.reduce_sum(terms) * scale
        losses = loss_of_each(tf.stop_gradient(errors), self._loss.weights(targets, step))
        gradients = tape.gradient(scaled, [*weights, *beside], unconnected_gradients="zero")
        values = zip(self._network.non_trainable_variables, counted, strict=True)
        unseeded = [value for variable, value in values if not is_seed(variable)]
        after = self._statistics.after(statistics, unseeded, self.state.updates)
        return gradients, after, terms, losses

    def _companion_maps(self, maps: MapTensors, weights: Sequence[Tensor]) -> MapTensors:
        """Return what the companion with these weights makes of the network's maps, if any."""
        if self._companion is None:
            return {}
        model = self._companion.model
        taken = {name: maps[name] for name in model.input}
        found: MapTensors = model.stateless_call(weights, [], taken, training=True)[0]
        return found

    def _told(self, statistics: Sequence[Tensor], draw: Tensor, step: Tensor) -> list[Tensor]:
        """Values of all that is not trained; what is drawn at random depends on seed and `draw`."""
        left, values = iter(statistics), []
        for number, variable in enumerate(self._network.non_trainable_variables):
            if is_seed(variable):
                seed = tf.stack([tf.constant(self._seed * 1000 + number, tf.int64), draw * DRAWS])
                values.append(tf.cast(seed, variable.dtype))
            else:
                value = next(left)
                values.append(tf.cast(step, value.dtype) if is_step(variable) else value)
        return values

    def _clipped(self, gradients: Sequence[Tensor], norm: Tensor) -> Sequence[Tensor]:
        if not self._settings.clip_norm:
            return gradients
        factor = tf.minimum(1.0, self._settings.clip_norm / tf.maximum(norm, 1e-12))
        return [gradient * factor for gradient in gradients]

    def _apply_update(
        self, statistics: Sequence[Tensor], gradients: Sequence[Tensor]
    ) -> list[Tensor]:
        """Weights, statistics, slots and averages after a step."""
        state = self.state
        rate = self._schedule.rate(state.step)
        updates = tf.cast(state.updates, tf.float32)
        weights: list[Tensor] = []
        slots: list[Tensor] = []
        for number, (weight, gradient, group) in enumerate(
            zip(state.weights, gradients, self._groups, strict=True)
        ):
            factor = rate * group.rate
            if group.frozen_steps:
                position = state.step + self._settings.global_step
                factor = tf.where(position < group.frozen_steps, 0.0, factor)
            update = UpdateContext(factor, group.decay, updates + 1.0)
            before = [tf.convert_to_tensor(of[number]) for of in state.slots.values()]
            moved, after = self._rule.step(tf.convert_to_tensor(weight), gradient, before, update)
            weights.append(moved)
            slots += after
        averages = self._average.after(state.averages, weights, state.updates)
        return [*weights, *statistics, *slots, *averages]

    def _update_companion(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the companion's weights and slots after a step; its rate follows the network's."""
        if self._companion is None:
            return []
        state = self.state
        factor = self._companion.learning_rate / self._settings.learning_rate
        rate = self._schedule.rate(state.step) * factor
        update = UpdateContext(rate, 0.0, tf.cast(state.updates, tf.float32) + 1.0)
        weights: list[Tensor] = []
        slots: list[Tensor] = []
        for number, (weight, gradient) in enumerate(
            zip(state.companion_weights, gradients, strict=True)
        ):
            before = [tf.convert_to_tensor(of[number]) for of in state.companion_slots.values()]
            moved, after = self._companion_rule.step(
                tf.convert_to_tensor(weight), gradient, before, update
            )
            weights.append(moved)
            slots += after
        return [*weights, *slots]

    def _counted(self, is_sound: Tensor, moves: Tensor, overflows: Tensor) -> list[Tensor]:
        """Step, updates, updates since an overflow, scale, and whether all is spoilt."""
        state = self.state
        before = ScaleState(tf.convert_to_tensor(state.scale), state.since_overflow)
        scale = self._scaling.after(before, moves=moves, overflows=overflows)
        step = state.step + tf.cast(is_sound, tf.int64)
        updates = state.updates + tf.cast(moves, tf.int64)
        return [step, updates, scale.since_overflow, scale.scale, ~is_sound]


def _by_weight(slots: Mapping[str, Sequence[tf.Variable]]) -> list[tf.Variable]:
    """Return all slots, those of one weight after those of another."""
    return [slot for weight in zip(*slots.values(), strict=True) for slot in weight]


def _synchronise_batch_norm(network: keras.Model) -> None:
    """Count over the patches of all replicas: each alone has too few."""
    for layer in layers_of(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
