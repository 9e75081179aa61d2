"""How far the regions of a patch are from the truth: Dice and Lovasz, patch by patch.

Both are means over the classes that the truth of a patch has. A class that it has not would have
an overlap of 0/0: scored 1 by some slack it would be noise, for one pixel's worth of probability,
spread over a patch, takes it from 1 to a half; and there are more such classes than others. What
is found of a class where there is none costs in the pixel loss, and in Lovasz's background.
"""

from __future__ import annotations

from keras import ops

from deeplab.models.dense.pixel_losses import known_labels, valid_pixels
from deeplab.models.layers.resize import Tensor

SLACK = 1.0  # pixels; an object of which a patch has a corner only must not weigh all


def truth_of(labels: Tensor, label_count: int) -> Tensor:
    """1 where a pixel is of a class: labels (n, h, w) to float32 (n, h, w, label_count)."""
    return ops.one_hot(known_labels(labels), label_count) * valid_pixels(labels)[..., None]


def present_classes(truth: Tensor) -> Tensor:
    """1 for the classes that the truth (n, h, w, c) of a patch has: float32 (n, c)."""
    return ops.max(truth, axis=(1, 2))


def mean_over(present: Tensor, losses: Tensor) -> Tensor:
    """Mean of the losses (n, c) over the classes present (n, c): (n,), 0 where there are none."""
    return ops.divide_no_nan(ops.sum(losses * present, axis=-1), ops.sum(present, axis=-1))


def soft_dice(truth: Tensor, probabilities: Tensor, slack: float = SLACK) -> Tensor:
    """1 minus the soft Dice of each class (Milletari 2016, arXiv:1606.04797): (n, c).

    Args:
        truth: (n, h, w, c), 0 where a pixel is ignored.
        probabilities: (n, h, w, c), 0 where a pixel is ignored.
        slack: px added above and below.
    """
    both = ops.sum(probabilities * truth, axis=(1, 2))
    total = ops.sum(probabilities + truth, axis=(1, 2))
    return 1.0 - (2.0 * both + slack) / (total + slack)


def lovasz_softmax(truth: Tensor, probabilities: Tensor, valid: Tensor) -> Tensor:
    """Return the Lovasz extension of 1 minus the IoU of each class: (n, c).

    Berman 2018, arXiv:1705.08790. With the errors of a class sorted downwards, each is multiplied
    by what its pixel adds to the Jaccard loss of those before it. These factors are the
    extension's gradient, too, and the only one: sorting takes no part in it, nor does a scattered
    sum, so it is the same at every run.

    Args:
        truth: (n, h, w, c).
        probabilities: (n, h, w, c).
        valid: (n, h, w), 0 where a pixel is ignored, else 1.
    """
    pixels = ops.shape(truth)[1] * ops.shape(truth)[2]
    classes = int(truth.shape[-1])

    def by_class(x: Tensor) -> Tensor:  # (n, h, w, c) to (n, c, h * w)
        return ops.transpose(ops.reshape(x, (-1, pixels, classes)), (0, 2, 1))

    counted = by_class(ops.broadcast_to(valid[..., None], ops.shape(truth)))
    errors = by_class(ops.abs(truth - probabilities)) * counted
    order = ops.argsort(-ops.stop_gradient(errors), axis=-1)
    inside = ops.take_along_axis(by_class(truth), order, axis=-1)
    outside = ops.take_along_axis(counted, order, axis=-1) - inside
    area = ops.sum(inside, axis=-1, keepdims=True)
    intersection = area - ops.cumsum(inside, axis=-1)
    union = area + ops.cumsum(outside, axis=-1)
    # With no area at all the first error would be 0/0; such a class is not present and not counted.
    jaccard = 1.0 - ops.divide_no_nan(intersection, union)
    steps = ops.concatenate([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], axis=-1)
    places = ops.argsort(order, axis=-1)  # of each pixel in the order
    factors = ops.stop_gradient(ops.take_along_axis(steps, places, axis=-1))
    return ops.sum(errors * factors, axis=-1)
