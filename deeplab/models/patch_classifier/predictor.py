"""Graphs of a patch classifier: of its logits, and of what in a patch speaks for a class."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from deeplab.config.views import AS_IT_IS, View
from deeplab.errors import ConfigError
from deeplab.models.outputs import CLASSES, PredictedMap
from deeplab.models.patch_classifier.blocks import SEEN, WHOLE


def predictor(
    network: keras.Model,
    *,
    tile: int | None = None,
    maps: Sequence[PredictedMap] = (),
    views: Sequence[View] = AS_IT_IS,
) -> keras.Model:
    """Return a graph of the network: uint8 (n, side, side, channels) in, "classes" out, logits.

    Raises:
        ConfigError: a map is asked for that it has not, a patch of another side, or several views.
    """
    if maps:
        raise ConfigError("maps", tuple(maps), "none: a patch classifier gives scores of patches")
    if tuple(views) != AS_IT_IS:
        raise ConfigError("views", len(views), "one, as it is, for a patch classifier")
    side = int(network.input.shape[1])
    if tile not in (None, side):
        raise ConfigError("tile", tile, f"{side} for this patch classifier")
    rgb = keras.Input(network.input.shape[1:], dtype="uint8", name="rgb")
    return keras.Model(rgb, {CLASSES: network(rgb)[CLASSES]}, name="predictor")


def explain(network: keras.Model) -> keras.Model:
    """Return a graph that gives "classes", logits, and "seen": see `Family.explain`."""
    names = [layer.name for layer in network.layers]
    seen = network.get_layer(SEEN if SEEN in names else WHOLE).output
    return keras.Model(network.input, {CLASSES: network.output[CLASSES], "seen": seen})
