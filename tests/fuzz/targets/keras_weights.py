"""Weights files of a Keras application. Each case starts a process, which takes half a second."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import keras
import numpy as np

from deeplab.bundles.importers.keras_applications import is_keras_weights, read_keras_weights
from deeplab.models.registry import family_of
from tests.bundles.test_keras_applications import CONFIG, WRITERS
from tests.fuzz.harness import Target


@cache
def network() -> keras.Model:
    """Build the network that the weights are for."""
    return family_of(CONFIG).build(CONFIG)


def write_seeds(folder: Path) -> list[Path]:
    """Write a file of each kind, with weights that only depend on their places."""
    theirs = keras.applications.MobileNetV2(
        weights=None, alpha=CONFIG.depth_multiplier, include_top=False, input_shape=(97, 97, 3)
    )
    for variable in theirs.weights:
        variable.assign(np.arange(np.prod(variable.shape)).reshape(variable.shape) % 7 * 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras converts its variables in a way NumPy remarks on
        for name, write in WRITERS.items():
            write(theirs, folder / name)
    return [folder / name for name in WRITERS]


def parse(path: Path) -> object:
    """Read the weights of the backbone, as a training that starts from them does."""
    return is_keras_weights(path) and read_keras_weights(path, network(), CONFIG.backbone)


TARGET = Target(name="keras_weights", seeds=write_seeds, parse=parse, prepare=network)
