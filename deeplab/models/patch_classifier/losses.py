"""What a patch classifier is told of its errors: cross entropy or focal loss of its classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keras import ops

from deeplab.config.patch_encoders import Problem
from deeplab.config.train_request import LossSettings
from deeplab.errors import ConfigError
from deeplab.models.dense.pixel_losses import focal, pixel_loss_in_words
from deeplab.models.layers.resize import Tensor
from deeplab.models.loss import MapTensors, TargetTensors
from deeplab.models.outputs import CLASSES, KNOWN


class PatchLossConfig(Protocol):
    """What the loss depends on."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def problem(self) -> Problem:
        """Whether classes exclude each other."""


def patch_loss(config: PatchLossConfig, settings: LossSettings) -> PatchLoss:
    """Return the loss of "classes" (n, classes).

    Raises:
        ConfigError: the settings ask for what this loss has not.
    """
    weights = settings.class_weights or (1.0,) * config.classes
    if len(weights) != config.classes:
        raise ConfigError("class_weights", weights, f"{config.classes} numbers, one a class")
    for name, only in (("top_k_percent_pixels", 1.0), ("lovasz_weight", 0.0)):
        if getattr(settings, name) != only:
            raise ConfigError(name, getattr(settings, name), f"{only:g} for a patch classifier")
    return PatchLoss(settings=settings, problem=config.problem, class_weights=tuple(weights))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchLoss:
    """A `Loss` of the classes of patches.

    - Classes that exclude each other: cross entropy of a softmax; the mean over patches weighs
      each by its class. Targets may be shares, as mixed patches have.
    - Any classes: the mean over patches and classes of the cross entropy of a sigmoid, each class
      times its weight, which is no part of what is divided by (as in DEDL's focal loss, alpha 1).

    There is no Dice here: what is asked of it is not looked at.

    Attributes:
        settings: what is asked for.
        problem: whether classes exclude each other.
        class_weights: one a class.
    """

    settings: LossSettings
    problem: Problem
    class_weights: tuple[float, ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """See `Loss`."""
        return (self.settings.loss.replace("_", " "),)

    def describe(self) -> str:
        """See `Loss`."""
        of = "softmax" if self.problem == "multi_class" else "a sigmoid for each class"
        weights = ", ".join(f"{weight:g}" for weight in self.settings.class_weights)
        said = f"{pixel_loss_in_words(self.settings)} of {of}"
        return said + (f"; classes weigh {weights}" if weights else "")

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:  # noqa: ARG002  Loss'
        """See `Loss`."""
        known = ops.cast(targets[KNOWN], "float32")
        if self.problem == "multi_class":
            known = known * ops.sum(self._weighted(targets[CLASSES]), axis=-1)
        return known[:, None]

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:  # noqa: ARG002  Loss'
        """See `Loss`."""
        logits = ops.cast(maps[CLASSES], "float32")
        truth = ops.cast(targets[CLASSES], "float32")
        if self.problem == "multi_class":
            errors = ops.sum(self._weighted(truth) * self._hardened(-ops.log_softmax(logits)), -1)
        else:
            yes, no = ops.softplus(-logits), ops.softplus(logits)
            # A mixed patch is partly the one and partly the other.
            mixed = truth * self._hardened(yes) + (1 - truth) * self._hardened(no)
            errors = ops.mean(self._weighted(mixed), axis=-1)
        return (errors * ops.cast(targets[KNOWN], "float32"))[:, None]

    def _hardened(self, entropy: Tensor) -> Tensor:
        """Return cross entropies as the settings make them."""
        if self.settings.loss == "focal":
            return focal(entropy, self.settings.focal_gamma)
        return entropy

    def _weighted(self, values: Tensor) -> Tensor:
        """Return values (n, classes) times the weights of the classes."""
        return ops.cast(values, "float32") * ops.convert_to_tensor(self.class_weights, "float32")
