"""What a loss promises: sums over patches, so that any split of a batch gives one number."""

from __future__ import annotations

from typing import Protocol

from keras import ops

from deeplab.models.layers.resize import Tensor


class Loss(Protocol):
    """How wrong a map is, as a sum over the patches of a batch.

    A loss has one term or several (cross entropy, Dice ...). Each patch adds to each term an error
    and a weight, and the loss of a batch is, for the whole batch wherever it was computed,

        sum over terms of (sum over patches of errors) / (sum over patches of weights).

    Weights hang on labels and step only, never on the network. So the parts of a batch - replicas,
    or parts that are computed one after the other - first add up their weights, then each takes
    the gradient of its `loss_share`; the sum of these gradients is that of the whole batch:

        totals = all_reduce(sum(loss.weights(labels, step), axis=0))
        with tape: share = loss_share(loss.errors(labels, logits, step), totals)
        gradient = all_reduce(tape.gradient(share, variables))

    All values are float32, whatever the precision of the network. A patch that is ignored as a
    whole has errors and weights 0.
    """

    def weights(self, labels: Tensor, step: Tensor | int) -> Tensor:
        """Labels (n, h, w), and how many steps were taken before, to weights (n, terms)."""

    def errors(self, labels: Tensor, logits: Tensor, step: Tensor | int) -> Tensor:
        """Labels (n, h, w), the map they are for, and the step, to errors (n, terms)."""


def loss_share(errors: Tensor, totals: Tensor) -> Tensor:
    """What patches add to the loss of the batch they belong to, one number.

    Args:
        errors: (m, terms) of the patches of this part.
        totals: (terms,) sums of the weights of all patches of the batch, other parts' included.
    """
    # A batch may be ignored as a whole: then the loss is 0, not 0/0.
    return ops.sum(ops.divide_no_nan(ops.sum(errors, axis=0), totals))


def loss_of_each(errors: Tensor, weights: Tensor) -> Tensor:
    """The loss of each patch as if it were the batch, (n,); 0 where nothing of it counts."""
    return ops.sum(ops.divide_no_nan(errors, weights), axis=-1)
