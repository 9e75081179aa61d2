"""Errors of single pixels, and the hardest of them."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from deeplab.config.classes import IGNORE
from deeplab.config.train_request import LossSettings
from deeplab.models.layers.resize import Tensor

# Below this the focal factor of what is known stands still, for powers below 1 are steep at 0.
LEAST_DOUBT = 1e-6


def valid_pixels(labels: Tensor) -> Tensor:
    """1 where a pixel counts, 0 where it is to be ignored, float32, shape of `labels`."""
    return ops.cast(ops.not_equal(labels, IGNORE), "float32")


def known_labels(labels: Tensor) -> Tensor:
    """Labels int32 in which what is to be ignored is background, so that all can be looked up."""
    return ops.where(ops.equal(labels, IGNORE), 0, ops.cast(labels, "int32"))


def pixel_weights(labels: Tensor, class_weights: Sequence[float]) -> Tensor:
    """Weight of every pixel, float32: that of its class, 0 where it is to be ignored."""
    of_class = ops.take(ops.convert_to_tensor(class_weights, "float32"), known_labels(labels))
    return valid_pixels(labels) * of_class


def cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Cross entropy (n, h, w) of logits (n, h, w, c); meaningless where labels are ignored."""
    return ops.sparse_categorical_crossentropy(known_labels(labels), logits, from_logits=True)


def focal(entropy: Tensor, gamma: float) -> Tensor:
    """Cross entropy times (1 - p)^gamma, p that of the truth (Lin 2017, arXiv:1708.02002)."""
    doubt = ops.maximum(-ops.expm1(-entropy), LEAST_DOUBT)
    return entropy * ops.power(doubt, gamma)


def pixel_loss_in_words(settings: LossSettings) -> str:
    """Return what people call the error of a pixel that is asked for."""
    said = settings.loss.replace("_", " ")
    return f"{said} (gamma {settings.focal_gamma:g})" if settings.loss == "focal" else said


def hard_share(step: Tensor | int, last: float, steps: int) -> Tensor:
    """Share of the pixels that count: from 1 at step 0 linearly to `last` after `steps`."""
    if steps == 0:
        return ops.convert_to_tensor(last, "float32")
    progress = ops.minimum(ops.cast(step, "float32") / float(steps), 1.0)
    return 1.0 - progress * (1.0 - last)


def hard_counts(weights: Tensor, share: Tensor) -> Tensor:
    """Return `share` of the number of pixels (n, p) that weigh something: (n,), whole."""
    counted = ops.sum(ops.cast(weights > 0, "float32"), axis=-1)
    # Rounded half up, and at least one pixel where there are any.
    return ops.minimum(ops.maximum(ops.floor(share * counted + 0.5), 1.0), counted)


def sum_of_hardest(errors: Tensor, counts: Tensor) -> Tensor:
    """Sum of the `counts` (n,) greatest of the errors (n, p), none negative: (n,).

    Which errors are the greatest is decided outside of the gradient, by one sort and without a
    scattered sum: it is the same at every run. Equals at the limit share the places left.
    """
    fixed = ops.stop_gradient(errors)
    place = ops.cast(ops.shape(errors)[1], "float32") - counts  # of the limit, ascending
    place = ops.cast(ops.minimum(place, ops.cast(ops.shape(errors)[1] - 1, "float32")), "int32")
    limit = ops.take_along_axis(ops.sort(fixed, axis=-1), place[:, None], axis=-1)
    above = ops.cast(fixed > limit, "float32")
    equal = ops.cast(ops.equal(fixed, limit), "float32")
    left = counts[:, None] - ops.sum(above, axis=-1, keepdims=True)
    chosen = above + equal * left / ops.sum(equal, axis=-1, keepdims=True)
    return ops.sum(errors * ops.stop_gradient(chosen), axis=-1)
