"""What in a patch speaks for a class: Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391).

For a network whose classes are read from the mean of its last map this is CAM (Zhou et al. 2016,
arXiv:1512.04150) but for a factor. Of a transformer with a class token the tokens are looked at
that its last block is given, for of what leaves that block the class's token alone is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.annotations.heatmap import Heatmap
from deeplab.config.classes import ClassList
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.inference.heatmap import HeatmapGrid

SEEN, LOGITS = "seen", "classes"  # what the graph gives
ACTIVATION = "activation"
Maps = dict[str, NDArray[Any]]


def activating(graph: keras.Model) -> Callable[[NDArray[np.uint8]], Maps]:
    """Return what predicts tiles (n, side, side, 3) and says what speaks for each class.

    Args:
        graph: gives "classes", logits (n, classes), and "seen", a map (n, h, w, c) or tokens
            (n, 1 + h w, c) with that of the class first.

    Returns:
        The function gives "classes" and "activation", float32 (n, h, w, classes), from 0 to 1 in
        each patch.
    """

    def compute(tiles: Any) -> tuple[Any, Any]:  # noqa: ANN401  TensorFlow has no types
        with tf.GradientTape(persistent=True) as tape:
            maps = graph(tiles, training=False)
            logits = tf.unstack(maps[LOGITS], axis=1)
        seen = _as_map(maps[SEEN])
        found = []
        for logit in logits:
            slopes = _as_map(tape.gradient(logit, maps[SEEN]))
            found.append(tf.nn.relu(_speaking(seen, slopes)))
        speaking = tf.cast(tf.stack(found, axis=-1), tf.float32)
        most = tf.reduce_max(speaking, axis=(1, 2), keepdims=True)
        return maps[LOGITS], tf.math.divide_no_nan(speaking, most)

    compiled = tf.function(compute, reduce_retracing=True)

    def predict(tiles: NDArray[np.uint8]) -> Maps:
        logits, speaking = compiled(tf.constant(tiles))
        return {LOGITS: logits.numpy(), ACTIVATION: speaking.numpy()}

    return predict


def activating_layers(
    network: keras.Model, layers: Mapping[str, str], *, side: int, above_zero: bool
) -> Callable[[NDArray[np.uint8]], Maps]:
    """Return what predicts tiles (n, side, side, 3) and says what in layers speaks for each class.

    Args:
        network: gives "classes", logits (n, classes).
        layers: that are looked at, each with a map (n, h, w, c) or tokens, by another name.
        side: of a patch, pixels.
        above_zero: whether what speaks against a class is 0. Of the last map of a network that
            reads its classes from the mean of it, this is CAM but for a factor.

    Returns:
        The function gives "classes" and, by the names of the layers, float32
        (n, side, side, classes), which is not brought to a range.
    """
    outputs = {name: network.get_layer(layer).output for name, layer in layers.items()}
    graph = keras.Model(network.input, {LOGITS: network.output[LOGITS], **outputs})

    def compute(tiles: Any) -> Any:  # noqa: ANN401  TensorFlow has no types
        with tf.GradientTape(persistent=True) as tape:
            maps = graph(tiles, training=False)
            logits = tf.unstack(maps[LOGITS], axis=1)
        slopes = [tape.gradient(logit, {name: maps[name] for name in layers}) for logit in logits]
        told = {LOGITS: maps[LOGITS]}
        for name in layers:
            seen = _as_map(maps[name])
            of_each = [_speaking(seen, _as_map(each[name])) for each in slopes]
            speaking = tf.cast(tf.stack(of_each, axis=-1), tf.float32)
            speaking = tf.nn.relu(speaking) if above_zero else speaking
            told[name] = tf.image.resize(speaking, (side, side))
        return told

    compiled = tf.function(compute, reduce_retracing=True)

    def predict(tiles: NDArray[np.uint8]) -> Maps:
        return {name: values.numpy() for name, values in compiled(tf.constant(tiles)).items()}

    return predict


def _speaking(seen: Any, slopes: Any) -> Any:  # noqa: ANN401  TensorFlow has no types
    """Return a map times the mean slopes of its channels, summed over these: (n, h, w)."""
    weight = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    return tf.reduce_sum(weight * seen, axis=-1)


def _as_map(values: Any) -> Any:  # noqa: ANN401  TensorFlow has no types
    """Return a map (n, h, w, c) of itself or of tokens (n, 1 + h w, c)."""
    if len(values.shape) == 4:
        return values
    side = math.isqrt(int(values.shape[1]) - 1)
    return tf.reshape(values[:, 1:], (-1, side, side, values.shape[2]))


class ActivationGrid:
    """Collects activation maps patch by patch: the mean over the patches that show a place.

    Args:
        classes: one heatmap is made for each.
        frame: of the patches.
        cells: of a patch along a side.
        side: of a patch, work pixels.
    """

    def __init__(self, classes: ClassList, frame: WorkFrame, *, cells: int, side: int) -> None:
        self._cell = side // cells
        self._frame = frame
        self._grid = HeatmapGrid(classes, frame, self._cell * frame.work_mpp)

    def add(
        self, slot: TileSlot, activation: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> None:
        """Take the activation (h, w, classes) of a patch, each class as strong as its score."""
        read, write = slot.read, slot.write
        rows = _cells_in(read.y, self._cell, activation.shape[0], write.y, write.bottom)
        columns = _cells_in(read.x, self._cell, activation.shape[1], write.x, write.right)
        kept = activation[rows, columns] * scores
        nothing = np.zeros((*kept.shape[:2], 1), np.float32)  # the background's
        corner = WorkBox(
            read.x + columns.start * self._cell + self._cell // 2,
            read.y + rows.start * self._cell + self._cell // 2,
            write.width,
            write.height,
        )
        self._grid.add(np.concatenate([nothing, kept], axis=-1), self._cell, corner)

    def heatmaps(self) -> list[Heatmap]:
        """Return one heatmap a class."""
        return [
            Heatmap(f"{each.name}-activation", each.colour, each.points, each.radius)
            for each in self._grid.heatmaps()
        ]


def _cells_in(start: int, cell: int, count: int, low: int, high: int) -> slice:
    """Return which of `count` cells from `start` on have their middle from `low` up to `high`."""
    middles = start + cell * (np.arange(count) + 0.5)
    inside = np.flatnonzero((middles >= low) & (middles < high))
    return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
