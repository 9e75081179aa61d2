"""Weights by name: `<layer>/<weight>`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[np.floating[Any]]]


def named_weights(network: keras.Model) -> dict[str, keras.Variable]:
    """The variables of a network by the name of their layer and their own, in order."""
    return {
        f"{layer.name}/{variable.name}": variable
        for layer in network.layers
        for variable in layer.weights
    }


def take_weights(network: keras.Model, weights: Weights, *, skip: tuple[str, ...] = ()) -> int:
    """Give a network the weights that fit it by name and shape; returns how many did.

    Layers whose names begin with one of `skip` keep what they have: those of the classes, when a
    model is trained on from another one's weights.
    """
    taken = 0
    for name, variable in named_weights(network).items():
        value = weights.get(name)
        if value is None or name.startswith(skip) or tuple(value.shape) != tuple(variable.shape):
            continue
        variable.assign(value)
        taken += 1
    return taken
