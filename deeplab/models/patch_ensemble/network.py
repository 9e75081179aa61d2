"""Several classifiers of patches side by side, and the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import layers, ops

from deeplab.config.network import NetworkConfig
from deeplab.config.patch_ensemble import PatchEnsembleConfig
from deeplab.models.dense.pixels import outputs_of_members
from deeplab.models.layers.resize import Tensor
from deeplab.models.outputs import CLASSES


def build(
    config: PatchEnsembleConfig, build_member: Callable[[NetworkConfig], keras.Model]
) -> keras.Model:
    """Return uint8 (n, side, side, channels) to {"classes": float32 (n, classes)}, logits.

    Their softmax, or the sigmoid of each where a patch has any classes, is the mean of the
    members' probabilities, so that all that reads logits reads these.

    Args:
        config: names the members.
        build_member: a member's config to its network, which gives logits of classes, too.
    """
    side = config.crop_size
    patch = keras.Input((side, side, len(config.channels)), dtype="uint8", name="rgb")
    pixels = layers.Rescaling(1.0, name="normalisation")(patch)
    logits = outputs_of_members(config.members, build_member, pixels, CLASSES)
    if config.excludes:
        joined = _log_of_sum([ops.log_softmax(each) for each in logits])
    else:
        present = _log_of_sum([ops.log_sigmoid(each) for each in logits])
        absent = _log_of_sum([ops.log_sigmoid(-each) for each in logits])
        joined = present - absent
    joined = layers.Activation("linear", dtype="float32", name=CLASSES)(joined)
    return keras.Model(patch, {CLASSES: joined}, name="patch_ensemble")


def _log_of_sum(logarithms: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the sum of probabilities; what the mean is less cancels out."""
    return ops.logsumexp(ops.stack(logarithms), axis=0)
