"""How gradients become steps: the rules, and what sets single weights apart.

The rules are written out. A run must go on bit by bit where it stopped, over any number of
replicas, and the ancestor's recipe is not to be had from Keras: its momentum remembers the learning
rates of the steps before, which is another thing while the rate moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from deeplab.config.train_request import DescentSettings, Optimizer
from deeplab.models.family import ENCODER

Tensor = Any  # TensorFlow has no types
Slots = Sequence[Tensor]  # what a rule remembers of a weight

MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-7  # of AdamW


class UpdateContext(NamedTuple):
    """One step of one weight."""

    rate: Tensor  # learning rate, float32
    decay: float  # of the weight
    number: Tensor  # of the step, from 1, float32


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRule:
    """How a weight moves.

    Attributes:
        slots: names of what is remembered of a weight, of its shape and 0 at first.
        step: weight, gradient, slots and update to the new weight and slots.
    """

    slots: tuple[str, ...]
    step: Callable[[Tensor, Tensor, Slots, UpdateContext], tuple[Tensor, Slots]]


def rule_of(settings: DescentSettings) -> UpdateRule:
    """Return the rule that is asked for."""
    return _RULES[settings.optimizer](settings)


def _momentum(settings: DescentSettings) -> UpdateRule:
    """Momentum as TensorFlow 1 had it; decay is part of the gradient, as of an L2 penalty."""

    def step(
        weight: Tensor, gradient: Tensor, slots: Slots, update: UpdateContext
    ) -> tuple[Tensor, Slots]:
        gathered = settings.momentum * slots[0] + gradient + update.decay * weight
        return weight - update.rate * gathered, [gathered]

    return UpdateRule(slots=("momentum",), step=step)


def _adamw(_: DescentSettings) -> UpdateRule:
    """AdamW (Loshchilov 2019, arXiv:1711.05101); decay follows the learning rate."""

    def step(
        weight: Tensor, gradient: Tensor, slots: Slots, update: UpdateContext
    ) -> tuple[Tensor, Slots]:
        mean = slots[0] + (1.0 - MEAN_DECAY) * (gradient - slots[0])
        square = slots[1] + (1.0 - SQUARE_DECAY) * (tf.square(gradient) - slots[1])
        unbiased = tf.sqrt(1.0 - SQUARE_DECAY**update.number) / (1.0 - MEAN_DECAY**update.number)
        move = unbiased * mean / (tf.sqrt(square) + EPSILON) + update.decay * weight
        return weight - update.rate * move, [mean, square]

    return UpdateRule(slots=("mean", "square"), step=step)


_RULES: Mapping[Optimizer, Callable[[DescentSettings], UpdateRule]] = MappingProxyType(
    {"adamw": _adamw, "momentum": _momentum}
)


def companion_rule(settings: DescentSettings) -> UpdateRule:
    """Return the rule of a companion, whatever that of the network is: Adam, without decay."""
    return _adamw(settings)


class WeightGroup(NamedTuple):
    """What sets a weight apart from the others."""

    rate: float  # its learning rate as a multiple of all weights'
    decay: float
    frozen_steps: int = 0  # of the schedule, in which it stays as it is


def weight_groups(
    network: keras.Model, settings: DescentSettings, class_layers: tuple[str, ...]
) -> list[WeightGroup]:
    """Return the group of each trainable variable.

    Biases and the layers of the classes may be faster. For momentum that is the ancestor's factor
    on their gradients; in AdamW a factor on a gradient would cancel out. Decay takes kernels only,
    and not those of depthwise convolutions, as the ancestor did.

    Args:
        network: what learns.
        settings: factors and decay.
        class_layers: beginnings of the names of the layers of the classes.
    """
    depthwise = {
        variable.path
        for layer in layers_of(network)
        if isinstance(layer, keras.layers.DepthwiseConv2D)
        for variable in layer.weights
    }
    found = []
    for variable in network.trainable_variables:
        rate = settings.bias_gradient_multiplier if variable.name == "bias" else 1.0
        if variable.path.startswith(class_layers):
            rate *= settings.last_layer_gradient_multiplier
        decays = variable.name == "kernel" and variable.path not in depthwise
        frozen = settings.freeze_encoder_steps if variable.path.startswith(ENCODER) else 0
        found.append(WeightGroup(rate, settings.weight_decay if decays else 0.0, frozen))
    return found


def layers_of(network: keras.Model) -> list[keras.layers.Layer]:
    """Return all layers, those inside of others, too."""
    found: list[keras.layers.Layer] = network._flatten_layers()  # noqa: SLF001  no public way
    return list(found)


def freeze_batch_norm(network: keras.Model) -> None:
    """Keep every batch normalisation as it is: its statistics, scale and offset.

    It then normalises by its statistics in training, too.
    """
    for layer in layers_of(network):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
