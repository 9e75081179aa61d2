"""Checkpoints as TensorFlow 1 wrote them."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deeplab.bundles.importers.tf1_names import tf1_name
from deeplab.bundles.weights import named_weights


def tf1_variables(network: keras.Model, backbone: str) -> dict[str, np.ndarray]:
    """The variables of a network under their TensorFlow 1 names, and those of its training."""
    variables = {tf1_name(n, backbone): v.numpy() for n, v in named_weights(network).items()}
    momenta = {
        f"{name}/Momentum": value for name, value in variables.items() if "moving" not in name
    }
    return {**variables, **momenta, "global_step": np.int64(1234)}


def write_checkpoint(prefix: Path, variables: Mapping[str, np.ndarray]) -> None:
    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[variables[name] for name in names],
    )


def write_frozen_graph(path: Path, variables: Mapping[str, np.ndarray]) -> Path:
    """A graph of constants under the names of variables, each behind its `read`, as exported."""
    with tf.Graph().as_default() as graph:
        rgb = tf.compat.v1.placeholder(tf.uint8, (1, None, None, 3), name="ImageTensor")
        for name, value in variables.items():
            if value.dtype == np.float32 and "Momentum" not in name:
                tf.identity(tf.constant(value, name=name), name=f"{name}/read")
        tf.constant([0, 3], name="aspp0/Shape")  # graphs have constants that are no variables
        tf.reduce_max(rgb, axis=-1, name="SemanticPredictions")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path
