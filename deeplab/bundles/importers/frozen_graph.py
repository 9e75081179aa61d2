"""Frozen graphs (`.pb`) as TensorFlow 1 DeepLab was published: variables turned into constants.

The graph is read as data: its constants are looked up by name, and nothing of it is ever run.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tensorflow.core.framework import graph_pb2, tensor_pb2, types_pb2

from deeplab.bundles.importers.tf1_network import Variables
from deeplab.errors import CheckpointError

MAX_BYTES = 2**30  # the largest that was published has 450 MB
# What a variable's name ends in. A graph has many other constants: shapes, axes, paddings.
VARIABLE = re.compile(
    r"(^|/)(weights|depthwise_weights|biases|gamma|beta|moving_mean|moving_variance)$"
)
FOLDED = (
    "has no batch norms of their own: they were folded into the weights when it was exported, "
    "and cannot be taken out again; import the checkpoint (model.ckpt-*) it was made from"
)


def read_frozen_graph(path: Path) -> Variables:
    """Return the variables that a frozen graph holds as constants.

    Raises:
        CheckpointError: it is missing, too large, or holds no such graph.
    """
    nodes = _nodes(path)
    if "SemanticPredictions" not in {node.name for node in nodes}:
        raise CheckpointError(
            path,
            "is not a frozen graph of DeepLab: it has no SemanticPredictions; of a SavedModel or a "
            "classifier nothing can be imported",
        )
    constants = {
        node.name: node.attr["value"].tensor
        for node in nodes
        if node.op == "Const" and VARIABLE.search(node.name)
    }
    shapes = {name: tuple(d.size for d in t.tensor_shape.dim) for name, t in constants.items()}
    for name, shape in shapes.items():
        if any(side < 1 for side in shape):
            raise CheckpointError(path, f"is damaged: its {name} has the shape {shape}")

    def tensor(name: str) -> NDArray[np.float32]:
        values = _values(constants[name])
        count = math.prod(shapes[name])
        # A constant may leave out the values at its end that are like the last one.
        if values is None or not 0 < len(values) <= count:
            raise CheckpointError(path, f"is damaged: its {name} does not fill {shapes[name]}")
        full = np.concatenate([values, np.full(count - len(values), values[-1], np.float32)])
        return full.reshape(shapes[name])

    return Variables(
        path=path,
        shapes=shapes,
        tensor=tensor,
        held_bytes=path.stat().st_size,
        missing_norms=FOLDED,
    )


def _nodes(path: Path) -> list[graph_pb2.NodeDef]:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(path, f"has {size:,} bytes; no graph of DeepLab has over 1 GiB")
        return list(graph_pb2.GraphDef.FromString(path.read_bytes()).node)
    except FileNotFoundError as error:
        raise CheckpointError(path, "does not exist") from error
    except OSError as error:
        raise CheckpointError(path, f"cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise CheckpointError(
            path, "is not a frozen graph, or is damaged; copy it again"
        ) from error


def _values(tensor: tensor_pb2.TensorProto) -> NDArray[np.float32] | None:
    """Return the values as they are stored, or None if they are not floats."""
    content = tensor.tensor_content
    kind = {types_pb2.DT_FLOAT: "<f4", types_pb2.DT_HALF: "<f2"}.get(tensor.dtype)
    if kind is None or len(content) % np.dtype(kind).itemsize:
        return None
    if not content and tensor.dtype == types_pb2.DT_HALF:
        return np.array(tensor.half_val or [0], np.uint16).view(np.float16).astype(np.float32)
    if not content:
        return np.array(tensor.float_val or [0.0], np.float32)
    return np.frombuffer(content, kind).astype(np.float32)
