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


def labels_of(logits: Tensor, height: int, width: int) -> Tensor:
    """Labels uint8 (n, height, width) of logits (n, h, w, c), upsampled before the argmax."""
    full = resize_align_corners(ops.cast(logits, "float32"), height, width)
    return ops.cast(ops.argmax(full, axis=-1), "uint8")


def predictor(
    network: keras.Model,
    *,
    tile: int,
    maps: Sequence[PredictedMap] = ("labels", "confidence"),
) -> keras.Model:
    """`network` for tiles of one size: uint8 RGB (n, tile, tile, 3) in, the maps asked for out.

    Raises:
        ConfigError: `tile` is not 16 k + 1, or a map is unknown.
    """
    if tile < 17 or tile % 16 != 1:
        raise ConfigError("tile", tile, "a multiple of 16 plus 1")
    unknown = set(maps) - {LABELS, CONFIDENCE, PROBABILITIES}
    if unknown or not maps:
        raise ConfigError("maps", tuple(maps), "some of labels, confidence, probabilities")
    rgb = keras.Input((tile, tile, 3), dtype="uint8", name="rgb")
    logits = network(rgb)[SEMANTIC_LOGITS]
    answers: dict[str, Tensor] = {}
    if LABELS in maps:
        answers[LABELS] = labels_of(logits, tile, tile)
    if CONFIDENCE in maps or PROBABILITIES in maps:
        probabilities = ops.softmax(logits)
        if PROBABILITIES in maps:
            answers[PROBABILITIES] = probabilities
        if CONFIDENCE in maps:
            answers[CONFIDENCE] = ops.max(probabilities, axis=-1)
    return keras.Model(rgb, answers, name="predictor")
