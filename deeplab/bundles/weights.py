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
