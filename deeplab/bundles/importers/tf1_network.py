"""From the variables of TensorFlow 1 DeepLab, wherever they were kept, to a network of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.importers.tf1_architecture import GraphOptions, Shape, infer_config
from deeplab.bundles.importers.tf1_names import NAMES, tf1_name
from deeplab.bundles.read import check_held
from deeplab.bundles.weights import named_weights
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.errors import CheckpointError, ConfigError
from deeplab.models.registry import family_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Variables:
    """The variables of one origin.

    Attributes:
        path: What errors call them by.
        shapes: Shape by name, of all that may be the network's.
        others: Names of what is not: an optimiser's variables, a counter.
        tensor: Name to value; raises CheckpointError where that is damaged.
        held_bytes: Of all values in the file.
        missing_norms: What to say where batch norms are missing, and nothing else.
    """

    path: Path
    shapes: Mapping[str, Shape]
    tensor: Callable[[str], NDArray[np.float32]]
    held_bytes: int
    others: tuple[str, ...] = ()
    missing_norms: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """A network with the weights of a checkpoint, and the knobs it was found to have.

    Attributes:
        config: The knobs.
        network: Built from them.
        taken: Number of variables that it took.
        skipped: Names of those that it has no use for.
    """

    config: DeepLabV3PlusConfig
    network: keras.Model
    taken: int
    skipped: tuple[str, ...]


def config_of(variables: Variables, options: GraphOptions) -> DeepLabV3PlusConfig:
    """Return the knobs of the network that has these variables.

    Raises:
        CheckpointError: it is none that we can build.
    """
    try:
        return infer_config(variables.shapes, options, variables.path)
    except ConfigError as error:
        problem = f"is of a network that cannot be built: {error}"
        raise CheckpointError(variables.path, problem) from error


def trained_network(variables: Variables, config: DeepLabV3PlusConfig) -> TrainedNetwork:
    """Return the network of these knobs with the values of the variables.

    Names and shapes are compared before the first value is read, so what a damaged or malicious
    file claims to hold is never made room for.

    Raises:
        CheckpointError: a variable is missing, left over, of another shape, or damaged.
    """
    check_held(config, variables.held_bytes, variables.path)
    network = family_of(config).build(config)
    backbone, path = config.backbone, variables.path
    weights = {tf1_name(name, backbone): v for name, v in named_weights(network).items()}
    classifier = tuple(f"{scope}/" for scope in NAMES[backbone].classifier)
    unused = sorted(set(variables.shapes) - set(weights))
    left_over = [name for name in unused if not name.startswith(classifier)]
    missing = sorted(set(weights) - set(variables.shapes))
    if missing and variables.missing_norms and all("/BatchNorm/" in name for name in missing):
        raise CheckpointError(path, variables.missing_norms)
    if missing or left_over:
        raise CheckpointError(path, _difference(backbone, missing, left_over))
    for name, variable in weights.items():
        if variables.shapes[name] != tuple(variable.shape):
            raise CheckpointError(
                path,
                f"has {name} of shape {variables.shapes[name]}, where {backbone} has "
                f"{tuple(variable.shape)}",
            )
    for name, variable in weights.items():
        value = variables.tensor(name)
        if not np.isfinite(value).all():
            raise CheckpointError(path, f"has a value that is not a finite number in {name}")
        variable.assign(value)
    return TrainedNetwork(
        config=config,
        network=network,
        taken=len(weights),
        skipped=(*variables.others, *(name for name in unused if name not in left_over)),
    )


def _difference(backbone: str, missing: list[str], left_over: list[str]) -> str:
    parts = []
    for words, names in (("lacks", missing), ("has beside it", left_over)):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            parts.append(f"{words} {', '.join(names[:5])}{more}")
    return f"does not fit DeepLabV3+ with {backbone}: it {'; it '.join(parts)}"
