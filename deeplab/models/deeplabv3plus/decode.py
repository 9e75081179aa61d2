"""From logits to labels, inside the graph: what leaves the device is one byte a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from deeplab.errors import ConfigError
from deeplab.models.layers.resize import Tensor, resize_align_corners
from deeplab.models.outputs import (
    CONFIDENCE,
    LABELS,
    PROBABILITIES,
    SEMANTIC_LOGITS,
    PredictedMap,
)


def labels_of(logits: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """Labels uint8 (n, height, width) of logits (n, h, w, c), upsampled before the argmax."""
    full = resize_align_corners(ops.cast(logits, "float32"), height, width)
    # The least of the likeliest labels. Not `ops.argmax`: OpenVINO cannot take all it is made of.
    likeliest = ops.equal(full, ops.max(full, axis=-1, keepdims=True))
    index = ops.arange(int(full.shape[-1]), dtype="float32")
    return ops.cast(ops.min(ops.where(likeliest, index, 255.0), axis=-1), "uint8")


@keras.saving.register_keras_serializable(package="deeplab")
class Labels(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Labels of logits at the size of a second map."""

    def call(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Logits (n, h, w, c) and any (n, h2, w2, d) to labels uint8 (n, h2, w2)."""
        logits, like = maps
        return labels_of(logits, ops.shape(like)[1], ops.shape(like)[2])

    def compute_output_spec(self, maps: tuple[Tensor, Tensor]) -> keras.KerasTensor:
        """Shape and type of the result."""
        return keras.KerasTensor(maps[1].shape[:3], "uint8")


def predictor(
    network: keras.Model,
    *,
    tile: int | None = None,
    maps: Sequence[PredictedMap] = ("labels", "confidence"),
) -> keras.Model:
    """`network` for tiles: uint8 RGB (n, tile, tile, 3) in, the maps asked for out.

    Without `tile` the graph takes tiles of any side 16 k + 1; with it sizes are known beforehand.

    Raises:
        ConfigError: `tile` is not 16 k + 1, or a map is unknown.
    """
    if tile is not None and (tile < 17 or tile % 16 != 1):
        raise ConfigError("tile", tile, "a multiple of 16 plus 1")
    unknown = set(maps) - {LABELS, CONFIDENCE, PROBABILITIES}
    if unknown or not maps:
        raise ConfigError("maps", tuple(maps), "some of labels, confidence, probabilities")
    rgb = keras.Input((tile, tile, 3), dtype="uint8", name="rgb")
    logits = network(rgb)[SEMANTIC_LOGITS]
    answers: dict[str, Tensor] = {}
    if LABELS in maps:
        answers[LABELS] = Labels(name=LABELS)([logits, rgb])
    if CONFIDENCE in maps or PROBABILITIES in maps:
        probabilities = ops.softmax(logits)
        if PROBABILITIES in maps:
            answers[PROBABILITIES] = probabilities
        if CONFIDENCE in maps:
            answers[CONFIDENCE] = ops.max(probabilities, axis=-1)
    return keras.Model(rgb, answers, name="predictor")
