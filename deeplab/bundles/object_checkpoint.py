"""Write an object checkpoint of TensorFlow: values by the way to them through objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def write_object_checkpoint(prefix: Path, values: Iterable[tuple[str, NDArray[Any]]]) -> None:
    """Write a checkpoint whose objects have these values.

    Programs of TensorFlow restore it by the names of their objects' attributes, of whatever class.

    Args:
        prefix: What the names of its files begin with.
        values: Object keys, as "backbone/_stem/_bn/gamma", and values.

    Raises:
        OSError, tf.errors.OpError: it cannot be written.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tree: dict[str, Any] = {}
    for key, value in values:
        *objects, name = key.split("/")
        place = tree
        for each in objects:
            place = place.setdefault(each, {})
        place[name] = tf.Variable(np.asarray(value))
    _object(tree).write(str(prefix))


def _object(tree: dict[str, Any]) -> tf.train.Checkpoint:
    """Return an object with attributes of these names."""
    return tf.train.Checkpoint(
        **{name: _object(part) if isinstance(part, dict) else part for name, part in tree.items()}
    )
