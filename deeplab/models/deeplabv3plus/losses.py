"""Softmax cross entropy over the pixels that are not ignored, optionally with soft Dice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from keras import ops

from deeplab.config.classes import IGNORE
from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.errors import ConfigError
from deeplab.models.layers.resize import Tensor, resize_align_corners
from deeplab.models.outputs import SEMANTIC_LOGITS

Loss = Callable[[Tensor, Tensor], Tensor]


def losses(
    config: DeepLabV3PlusConfig,
    *,
    class_weights: Sequence[float] | None = None,
    dice_weight: float = 0.0,
) -> Mapping[str, Loss]:
    """Loss by output: labels uint8 (n, h, w) and logits (n, h/s, w/s, c) to one number, float32.

    Args:
        config: The network's knobs.
        class_weights: Weight of each label's pixels, background first; None for all 1.
        dice_weight: How much of the soft Dice loss is added.

    Raises:
        ConfigError: the weights are not one a label, or one is negative.
    """
    weights = [1.0] * config.label_count if class_weights is None else list(class_weights)
    if len(weights) != config.label_count:
        raise ConfigError("class_weights", weights, f"{config.label_count} numbers, one a label")
    if min(weights) < 0 or max(weights) <= 0:
        raise ConfigError("class_weights", weights, "not negative, and not all 0")
    if dice_weight < 0:
        raise ConfigError("dice_weight", dice_weight, "0 or more")

    def semantic_loss(labels: Tensor, logits: Tensor) -> Tensor:
        _, height, width = ops.shape(labels)
        logits = resize_align_corners(ops.cast(logits, "float32"), height, width)
        loss = cross_entropy(labels, logits, weights)
        return loss + dice_weight * soft_dice(labels, logits) if dice_weight else loss

    return {SEMANTIC_LOGITS: semantic_loss}


def valid_pixels(labels: Tensor) -> Tensor:
    """1 where a pixel counts, 0 where it is to be ignored, float32, shape of `labels`."""
    return ops.cast(ops.not_equal(labels, IGNORE), "float32")


def cross_entropy(labels: Tensor, logits: Tensor, weights: Sequence[float]) -> Tensor:
    """Weighted mean of the cross entropy of logits (n, h, w, c) over pixels not ignored."""
    valid = valid_pixels(labels)
    known = ops.where(valid > 0, ops.cast(labels, "int32"), 0)
    weight = valid * ops.take(ops.convert_to_tensor(weights, "float32"), known)
    pixel = ops.sparse_categorical_crossentropy(known, logits, from_logits=True)
    # A batch may be ignored as a whole: then the loss is 0, not 0/0.
    return ops.sum(pixel * weight) / ops.maximum(ops.sum(weight), 1e-6)


def soft_dice(labels: Tensor, logits: Tensor) -> Tensor:
    """1 minus the mean soft Dice of the labels above 0 (Milletari 2016, arXiv:1606.04797)."""
    valid = valid_pixels(labels)[..., None]
    probabilities = ops.softmax(logits) * valid
    truth = ops.one_hot(ops.cast(labels, "int32"), int(logits.shape[-1])) * valid
    both = ops.sum(probabilities * truth, axis=(0, 1, 2))[1:]
    total = ops.sum(probabilities + truth, axis=(0, 1, 2))[1:]
    # One pixel of slack: a class that is absent and not predicted scores 1.
    return 1.0 - ops.mean((2.0 * both + 1.0) / (total + 1.0))
