"""Checkpoints of TensorFlow 1 DeepLab, the ancestor's among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.checkpoint_files import checkpoint_files
from deeplab.bundles.importers.efficientdet import is_object_checkpoint
from deeplab.bundles.importers.tensor_bundle import (
    TensorBundleError,
    UnreadableBundleError,
    open_tensor_bundle,
)
from deeplab.bundles.importers.tf1_architecture import GraphOptions
from deeplab.bundles.importers.tf1_names import NAMES, NOT_OF_THE_NETWORK, tf1_name
from deeplab.bundles.importers.tf1_network import (
    TrainedNetwork,
    Variables,
    config_of,
    trained_network,
)
from deeplab.bundles.weights import named_weights
from deeplab.errors import CheckpointError


def import_tf1_checkpoint(path: Path, options: GraphOptions | None = None) -> TrainedNetwork:
    """Return the network that a checkpoint belongs to, with its weights.

    Args:
        path: A checkpoint in any of the forms of `checkpoint_files`.
        options: What the variables do not tell; None for the original's defaults.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it is of another network.
        BundleError: the zip is not safe to read.
    """
    with open_checkpoint(path) as variables:
        _refuse_objects(variables)
        return trained_network(variables, config_of(variables, options or GraphOptions()))


def read_tf1_weights(
    path: Path, network: keras.Model, backbone: str
) -> dict[str, NDArray[np.float32]]:
    """Return the weights of a checkpoint under our names, as far as `network` has them.

    For training on: an ImageNet checkpoint, say, has the backbone only.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, has none of these weights, or there
            are none of this backbone.
        BundleError: the zip is not safe to read.
    """
    if backbone not in NAMES:
        raise CheckpointError(
            path,
            f"is of TensorFlow 1 DeepLab, which has no {backbone}, only {', '.join(NAMES)}",
        )
    with open_checkpoint(path) as variables:
        _refuse_objects(variables)
        names = {name: tf1_name(name, backbone) for name in named_weights(network)}
        found = {name: variables.tensor(of) for name, of in names.items() if of in variables.shapes}
    if not found:
        raise CheckpointError(path, f"has no weights of {backbone}")
    return found


def _refuse_objects(variables: Variables) -> None:
    """Raise CheckpointError for a checkpoint of TensorFlow 2, which is no DeepLab."""
    if is_object_checkpoint(variables):
        raise CheckpointError(
            variables.path,
            "is a checkpoint of TensorFlow 2; where it is EfficientDet's, make a model of it: "
            "deeplab import-checkpoint",
        )


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Variables]:
    """The variables of the checkpoint at `path`, to be read inside the block.

    Args:
        path: A checkpoint in any of the forms of `checkpoint_files`.

    Raises:
        CheckpointError: there is no checkpoint, or it is damaged.
        BundleError: the archive is not safe to read.
    """
    with checkpoint_files(path) as files:
        with _damage_said(path):
            bundle = open_tensor_bundle(files.index, files.data)

        def tensor(name: str) -> NDArray[np.float32]:
            with _damage_said(path):
                return np.asarray(bundle.read(name), np.float32)

        others = {name for name in bundle.entries if NOT_OF_THE_NETWORK.search(name)}
        yield Variables(
            path=path,
            shapes={n: entry.shape for n, entry in bundle.entries.items() if n not in others},
            tensor=tensor,
            held_bytes=sum(entry.size for entry in bundle.entries.values()),
            others=tuple(sorted(others)),
        )


@contextmanager
def _damage_said(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableBundleError as error:
        raise CheckpointError(
            path, f"{error}; restore it in TensorFlow 1 and save it again with tf.train.Saver"
        ) from error
    except TensorBundleError as error:
        raise CheckpointError(path, f"is damaged or incomplete, copy it again: {error}") from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
