"""What a loss promises: sums over patches, so that any split of a batch gives one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keras import ops

from deeplab.models.layers.resize import Tensor

TargetTensors = Mapping[str, Tensor]  # of a batch, (n, ...), by the name of the output
MapTensors = Mapping[str, Tensor]  # what the network gives for the batch, (n, ...), by name


class Loss(Protocol):
    """How wrong a network's maps are, as sums over the patches of a batch.

    A loss has one term or several (cross entropy, Dice ...), of one output or of several. Each
    patch adds to each term an error and a weight, and the loss of a batch is, for the whole batch
    wherever it was computed,

        sum over terms of (sum over patches of errors) / (sum over patches of weights).

    Weights depend on targets and step only, never on the network. So the parts of a batch -
    replicas, or parts that are computed one after the other - first add up their weights, then
    each takes the gradient of its `loss_share`; the sum of these gradients is that of the whole
    batch:

        totals = all_reduce(sum(loss.weights(targets, step), axis=0))
        with tape: share = loss_share(loss.errors(targets, maps, step), totals)
        gradient = all_reduce(tape.gradient(share, variables))

    What is no mean over pixels, as Dice, is a mean over patches: of each patch that counts its
    own, with the weight 1. What a term counts for beside the others is a factor on its errors.

    All values are float32, whatever the precision of the network. A patch that is ignored as a
    whole has errors and weights 0.
    """

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms in their order, for the log."""

    def describe(self) -> str:
        """Say in words what is added up, each term with what it counts for, for reports."""

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:
        """Return the weights (n, terms).

        Args:
            targets: what each output is compared with.
            step: how many steps were taken before.
        """

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:
        """Return the errors (n, terms).

        Args:
            targets: what each output is compared with.
            maps: the outputs.
            step: how many steps were taken before.
        """


@dataclass(frozen=True, slots=True)
class SumOfLosses:
    """A `Loss` that is the sum of others.

    Attributes:
        parts: whose terms follow each other.
    """

    parts: tuple[Loss, ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """See `Loss`."""
        return tuple(term for part in self.parts for term in part.terms)

    def describe(self) -> str:
        """See `Loss`."""
        return "; and ".join(part.describe() for part in self.parts)

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        return ops.concatenate([part.weights(targets, step) for part in self.parts], axis=-1)

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        return ops.concatenate([part.errors(targets, maps, step) for part in self.parts], axis=-1)


def sum_in_words(factors: Mapping[str, float], class_weights: Sequence[float]) -> str:
    """Return the terms of a loss as a sum, and what classes weigh where that was asked for.

    Args:
        factors: what each term counts for, by what people call it.
        class_weights: of the background and the classes; empty: they weigh the same.
    """
    said = " + ".join(
        name if factor == 1 else f"{factor:g} × {name}" for name, factor in factors.items()
    )
    weights = ", ".join(f"{weight:g}" for weight in class_weights)
    return said + (f"; background and classes weigh {weights}" if weights else "")


def loss_terms(errors: Tensor, totals: Tensor) -> Tensor:
    """Return what patches add to each term of the loss of the batch they belong to, (terms,).

    Args:
        errors: (m, terms) of the patches of this part.
        totals: (terms,) sums of the weights of all patches of the batch, other parts' included.
    """
    # A batch may be ignored as a whole: then the loss is 0, not 0/0.
    return ops.divide_no_nan(ops.sum(errors, axis=0), totals)


def loss_share(errors: Tensor, totals: Tensor) -> Tensor:
    """Return what patches add to the loss of their batch, one number; see `loss_terms`."""
    return ops.sum(loss_terms(errors, totals))


def loss_of_each(errors: Tensor, weights: Tensor) -> Tensor:
    """Return the loss of each patch as if it were the batch, (n,); 0 where nothing of it counts."""
    return ops.sum(ops.divide_no_nan(errors, weights), axis=-1)
