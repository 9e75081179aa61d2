"""Several networks side by side, and the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers, ops

from deeplab.annotations.raster.rasterize import Truth
from deeplab.config.network import NetworkConfig
from deeplab.config.network_ensemble import NetworkEnsembleConfig
from deeplab.models.dense.pixels import outputs_of_members
from deeplab.models.family import Targets
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
    logits = outputs_of_members(config.members, build_member, pixels, SEMANTIC_LOGITS)
    probabilities = [ops.softmax(each) for each in logits]
    mean = sum(probabilities[1:], start=probabilities[0]) / len(probabilities)
    joined = ops.log(ops.maximum(mean, LEAST_PROBABILITY))
    joined = layers.Activation("linear", dtype="float32", name=SEMANTIC_LOGITS)(joined)
    return keras.Model(tile, {SEMANTIC_LOGITS: joined}, name="network_ensemble")


def encode(_: NetworkEnsembleConfig, truth: Truth) -> Targets:
    """Return the target of each output: the labels uint8 (h, w) themselves, 255 to ignore."""
    return {SEMANTIC_LOGITS: truth["labels"]}
