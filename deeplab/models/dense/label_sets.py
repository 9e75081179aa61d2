"""The loss of a network that learns from several label images of a patch, each with its weight.

Multi-layer pseudo-supervision (Han et al. 2022, arXiv:2110.08048) compares one answer with the
pseudo masks of several layers of a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keras import ops

from deeplab.models.layers.resize import Tensor
from deeplab.models.loss import Loss, MapTensors, TargetTensors
from deeplab.models.outputs import SEMANTIC_LOGITS


def target_of_set(name: str) -> str:
    """Return the name of the target that a further label image becomes, by that of its set."""
    return f"{SEMANTIC_LOGITS}/{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOfLabelSets:
    """A `Loss` that is the sum of one loss over several label images, each times its weight.

    Attributes:
        loss: of "semantic_logits" with one label image.
        weights_of: of the sets by name; the labels of the first are the target of the output.
    """

    loss: Loss
    weights_of: Mapping[str, float]

    @property
    def terms(self) -> tuple[str, ...]:
        """See `Loss`."""
        return tuple(f"{term} of {name}" for name in self.weights_of for term in self.loss.terms)

    def describe(self) -> str:
        """See `Loss`."""
        sets = ", ".join(f"{weight:g} × {name}" for name, weight in self.weights_of.items())
        return f"{self.loss.describe()}; of several label sets: {sets}"

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        parts = [self.loss.weights(each, step) for each in self._targets(targets)]
        return ops.concatenate(parts, axis=-1)

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        sets = zip(self._targets(targets), self.weights_of.values(), strict=True)
        parts = [weight * self.loss.errors(each, maps, step) for each, weight in sets]
        return ops.concatenate(parts, axis=-1)

    def _targets(self, targets: TargetTensors) -> list[TargetTensors]:
        _, *further = self.weights_of
        names = (SEMANTIC_LOGITS, *map(target_of_set, further))
        return [{SEMANTIC_LOGITS: targets[name]} for name in names]
