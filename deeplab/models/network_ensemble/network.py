"""Several networks side by side, and the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers, ops

from deeplab.annotations.raster.rasterize import Truth
from deeplab.config.network import NetworkConfig
from deeplab.config.network_ensemble import NetworkEnsembleConfig
from deeplab.models.dense.pixels import of_pixels
from deeplab.models.family import Targets, member_scope
from deeplab.models.outputs import SEMANTIC_LOGITS

LEAST_PROBABILITY = 1e-30  # whose logarithm float32 has


def build(
    config: NetworkEnsembleConfig, build_member: Callable[[NetworkConfig], keras.Model]
) -> keras.Model:
    """Return uint8 (n, h, w, channels) to {"semantic_logits": float32 (n, h/s, w/s, labels)}.

    Logits are the logarithms of the mean of the members' probabilities, so that their softmax is
    that mean and all that reads logits reads these.

    Args:
        config: names the members.
        build_member: a member's config to its network, which gives semantic logits, too.
    """
    tile = keras.Input((None, None, len(config.channels)), dtype="uint8", name="rgb")
    # Where views of other scales come in, which are no longer uint8; members have their own.
    pixels = layers.Rescaling(1.0, name="normalisation")(tile)
    probabilities = []
    for number, member in enumerate(config.members, start=1):
        with keras.name_scope(member_scope(number)):
            network = build_member(member)
        logits = of_pixels(network, SEMANTIC_LOGITS, member_scope(number))(pixels)
        probabilities.append(ops.softmax(logits))
    mean = sum(probabilities[1:], start=probabilities[0]) / len(probabilities)
    logits = ops.log(ops.maximum(mean, LEAST_PROBABILITY))
    logits = layers.Activation("linear", dtype="float32", name=SEMANTIC_LOGITS)(logits)
    return keras.Model(tile, {SEMANTIC_LOGITS: logits}, name="network_ensemble")


def encode(_: NetworkEnsembleConfig, truth: Truth) -> Targets:
    """Return the target of each output: the labels uint8 (h, w) themselves, 255 to ignore."""
    return {SEMANTIC_LOGITS: truth["labels"]}
