"""Weights by name: `<layer>/<weight>`, and `<layer>/<layer within>/<weight>` of nested ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.errors import ConfigError

Weights = Mapping[str, NDArray[np.floating[Any]]]


def named_weights(network: keras.Model) -> dict[str, keras.Variable]:
    """Return the variables of a network by their paths, in order.

    Raises:
        ConfigError: two have the same path, of which a file could keep only one.
    """
    named: dict[str, keras.Variable] = {}
    for variable in network.weights:
        if variable.path in named:
            raise ConfigError("the name of a weight", variable.path, "that of no other weight")
        named[variable.path] = variable
    return named
