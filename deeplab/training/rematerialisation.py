"""A network's pass in training that keeps few of its maps and computes the others a second time.

Chen et al. 2016, arXiv:1604.06174. The calls of layers, in their order, are cut into stages. Only
what one stage hands to later ones is kept until the backward pass, which computes a stage again
when it comes to it. `keras.RematScope` would do so a layer at a time, which saves little, and it
fails within `tf.function` in Keras 3.15.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import keras
import tensorflow as tf
from keras import tree

Tensor = Any  # TensorFlow and Keras have no types
Call = Any  # of a layer: Keras' Node


@dataclass(frozen=True, slots=True)
class Produced:
    """What a call of a layer leaves behind.

    Attributes:
        size: Of its maps, in numbers of a patch.
        last_use: Index of the last call that takes one of them, at least its own; beyond all calls
            where the network answers with it.
    """

    size: int
    last_use: int


def stages_of(produced: Sequence[Produced]) -> list[range]:
    """Return the calls of each stage, so that the memory of a step is least.

    It is taken for what all stages hand on, and twice what the largest of them makes: its maps and
    as many gradients.
    """
    limit = sum(each.size for each in produced)
    largest = max(each.size for each in produced)
    memory, best = math.inf, [range(len(produced))]
    while limit >= largest:
        stages, handed_on = _stages_within(produced, limit)
        made = max(sum(produced[index].size for index in stage) for stage in stages)
        if handed_on + 2 * made < memory:
            memory, best = handed_on + 2 * made, stages
        limit = limit * 4 // 5
    return best


def _stages_within(produced: Sequence[Produced], limit: int) -> tuple[list[range], int]:
    """Return stages that make no more than `limit` each and hand on the least; that, too."""
    # For the calls before each place: how little is handed on, and where their last stage begins.
    least, begins = [0.0], [0]
    for end in range(1, len(produced) + 1):
        best, begin, made, handed_on = math.inf, 0, 0, 0
        for index in range(end - 1, -1, -1):
            made += produced[index].size
            if made > limit:
                break
            if produced[index].last_use >= end:
                handed_on += produced[index].size
            if least[index] + handed_on < best:
                best, begin = least[index] + handed_on, index
        least.append(best)
        begins.append(begin)
    places = [len(produced)]
    while places[-1]:
        places.append(begins[places[-1]])
    return [range(first, end) for first, end in pairwise(reversed(places))], int(least[-1])


class Rematerialised:
    """The pass of a functional network in training, but for its last stage computed twice.

    Maps, gradients and statistics are those of `network.stateless_call`: what batch normalisation
    counts is that of the first time, and what is dropped is dropped again.
    """

    def __init__(self, network: keras.Model) -> None:
        self._network = network
        self._calls = _Graph(network.inputs, network.outputs).calls()

    def __call__(
        self, weights: Sequence[Tensor], others: Sequence[Tensor], rgb: Tensor
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Return the network's maps by name, and new values of what is not trained.

        Args:
            weights: Values of the network's trainable variables.
            others: Values of the others.
            rgb: uint8 (n, h, w, channels), its sides known while a graph is traced.
        """
        network = self._network
        values = dict(zip(map(id, network.trainable_variables), weights, strict=True))
        values |= zip(map(id, network.non_trainable_variables), others, strict=True)
        (shown,) = network.inputs
        tensors = {id(shown): rgb}
        *stages, last = self._stages(rgb.shape)
        for stage in stages:
            stage.run_twice(tensors, values)
        last.run(tensors, values)
        maps = {name: tensors[id(x)] for name, x in network.output.items()}
        return maps, [values[id(variable)] for variable in network.non_trainable_variables]

    def _stages(self, shape: Any) -> list[_Stage]:  # noqa: ANN401  TensorFlow's
        """Return the stages for tiles of a shape (n, h, w, channels), in their order."""
        calls = self._calls
        (shown,) = self._network.inputs
        sized = {id(shown): keras.KerasTensor(tuple(shape), dtype=shown.dtype)}
        _run(calls, sized, lambda operation: operation.compute_output_spec)
        last_use = {id(x): len(calls) for x in self._network.outputs}
        for index, call in reversed(list(enumerate(calls))):
            for x in call.input_tensors:
                last_use.setdefault(id(x), index)
        produced = [
            Produced(
                size=sum(math.prod(sized[id(x)].shape) for x in call.outputs),
                last_use=max(last_use.get(id(x), index) for x in call.outputs),
            )
            for index, call in enumerate(calls)
        ]
        return [
            _Stage(
                calls[stage.start : stage.stop],
                handed_on=[
                    id(x)
                    for index in stage
                    for x in calls[index].outputs
                    if last_use.get(id(x), index) >= stage.stop
                ],
            )
            for stage in stages_of(produced)
        ]


class _Graph(keras.Function):  # type: ignore[misc]  # keras has no types
    """The calls of layers that lead from some tensors to others."""

    def calls(self) -> list[Call]:
        """Return them, each after those whose maps it takes."""
        # A layer that is called twice has no one output; only Keras' own list has every call.
        depths = sorted(self._nodes_by_depth, reverse=True)
        ordered = (call for depth in depths for call in self._nodes_by_depth[depth])
        return [call for call in ordered if not call.is_input]


def _run(
    calls: Iterable[Call],
    tensors: dict[int, Tensor],
    function: Callable[[Any], Callable[..., Any]],
) -> None:
    """Add to `tensors`, by the identity of the symbolic ones, what `function` makes of calls."""
    for call in calls:
        args, named = call.arguments.fill_in(tensors)
        outputs = tree.flatten(function(call.operation)(*args, **named))
        tensors.update(zip(map(id, call.outputs), outputs, strict=True))


def _in_training(operation: Any) -> Callable[..., Any]:  # noqa: ANN401  Keras has no types
    """Return a layer or operation that is told, where it asks, that it is in training."""
    if "training" not in inspect.signature(operation.call).parameters:
        return operation  # type: ignore[no-any-return]  # likewise

    # A call of the symbolic graph may have recorded that it was not.
    return lambda *args, **named: operation(*args, **{**named, "training": True})


class _Stage:
    """Calls of layers that follow on one another.

    Args:
        calls: In their order.
        handed_on: Identities of the symbolic tensors that are taken after them.
    """

    def __init__(self, calls: Sequence[Call], handed_on: Sequence[int]) -> None:
        made = {id(x) for call in calls for x in call.outputs}
        taken = (id(x) for call in calls for x in call.input_tensors)
        self._calls, self._handed_on = calls, handed_on
        self._taken = list(dict.fromkeys(key for key in taken if key not in made))
        layers = [each.operation for each in calls if isinstance(each.operation, keras.Layer)]
        self._learnt = _once(v for layer in layers for v in layer.trainable_variables)
        self._counted = _once(v for layer in layers for v in layer.non_trainable_variables)

    def run(self, tensors: dict[int, Tensor], values: dict[int, Tensor]) -> None:
        """Add what is handed on to `tensors`, and what was counted to `values`."""
        self._add(self._computed(self._given(tensors, values), values), tensors, values)

    def run_twice(self, tensors: dict[int, Tensor], values: dict[int, Tensor]) -> None:
        """Do what `run` does, and keep nothing but `tensors` until the backward pass."""
        before = dict(values)  # what is counted the first time is not counted upon the second

        def computed(*given: Tensor) -> tuple[list[Tensor], Callable[..., list[Tensor]]]:
            return self._computed(given, before), partial(self._gradients, given, before)

        given = self._given(tensors, values)
        self._add(tf.custom_gradient(computed)(*given), tensors, values)

    def _gradients(
        self, given: Sequence[Tensor], values: Mapping[int, Tensor], *upstream: Tensor
    ) -> list[Tensor | None]:
        """Return gradients by what is given, from those by what is handed on, and compute again."""
        upstream = upstream[: len(self._handed_on)]
        # Not before, or the stage's maps would be there as long as if they had been kept.
        with tf.control_dependencies(upstream):
            again = [tf.identity(x) for x in given]
        sought = [x for x in again if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(sought)
            maps = self._computed(again, values)[: len(upstream)]
        found = iter(
            tape.gradient(maps, sought, output_gradients=upstream, unconnected_gradients="zero")
        )
        return [next(found) if x.dtype.is_floating else None for x in again]

    def _given(self, tensors: Mapping[int, Tensor], values: Mapping[int, Tensor]) -> list[Tensor]:
        """Return what gradients are sought by: the maps that are taken, and the weights."""
        return [tensors[key] for key in self._taken] + [values[id(v)] for v in self._learnt]

    def _computed(self, given: Sequence[Tensor], values: Mapping[int, Tensor]) -> list[Tensor]:
        """Return what is handed on, and after it what was counted."""
        maps, weights = given[: len(self._taken)], given[len(self._taken) :]
        mapping = list(zip(self._learnt, weights, strict=True))
        mapping += [(variable, values[id(variable)]) for variable in self._counted]
        with keras.StatelessScope(mapping) as scope:
            tensors = dict(zip(self._taken, maps, strict=True))
            _run(self._calls, tensors, _in_training)
            counted = [scope.get_current_value(variable) for variable in self._counted]
        return [*(tensors[key] for key in self._handed_on), *counted]

    def _add(
        self, found: Sequence[Tensor], tensors: dict[int, Tensor], values: dict[int, Tensor]
    ) -> None:
        count = len(self._handed_on)
        tensors.update(zip(self._handed_on, found[:count], strict=True))
        values.update(zip(map(id, self._counted), found[count:], strict=True))


def _once(variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """Return each of the variables once, in their order."""
    return list({id(variable): variable for variable in variables}.values())
