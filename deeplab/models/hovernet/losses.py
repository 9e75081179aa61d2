"""What HoVer-Net is told of its errors: of the nuclei's pixels, their hv maps and their types.

Graham 2019, arXiv:1812.06499, section III-A: cross entropy and Dice of np and of tp, the mean
square of the errors of hv, and that of their derivatives on nuclei.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from keras import ops
from numpy.typing import NDArray

from deeplab.config.nuclei import Convention, Gradients
from deeplab.config.train_request import LossSettings
from deeplab.errors import ConfigError
from deeplab.models.dense.pixel_losses import (
    cross_entropy,
    focal,
    pixel_loss_in_words,
    pixel_weights,
    valid_pixels,
)
from deeplab.models.dense.region_losses import present_classes, soft_dice, truth_of
from deeplab.models.layers.resize import Tensor
from deeplab.models.loss import MapTensors, TargetTensors, sum_in_words

KERNEL = 5  # px, of the derivatives
ORIGINAL_DOUBT = 1e-7  # the public code's cross entropy knows no probability nearer to 0 or 1
ORIGINAL_SLACK = 1e-3  # px, of the public code's Dice
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "np": "np is whether a pixel is of a nucleus",
        "tp": "tp of which type",
        "hv": "hv where in its nucleus it lies",
    }
)


class LossConfig(Protocol):
    """What the loss depends on."""

    @property
    def convention(self) -> Convention:
        """Of cross entropy and Dice."""

    @property
    def gradients(self) -> Gradients:
        """Derivatives of hv that are compared."""

    @property
    def type_count(self) -> int:
        """Types without the background; 0: the network tells none apart."""


def nuclei_loss(config: LossConfig, settings: LossSettings) -> NucleiLoss:
    """Return the loss of "np" (n, h, w, 2), "hv" (n, h, w, 2) and, with types, "tp".

    Raises:
        ConfigError: the settings ask for what this loss has not.
    """
    count = config.type_count + 1
    weights = settings.class_weights or (1.0,) * count
    if len(weights) != count or (settings.class_weights and not config.type_count):
        must = f"{count} numbers, the background's first" if config.type_count else "empty"
        raise ConfigError("class_weights", weights, f"{must} for this network")
    if settings.top_k_percent_pixels < 1:
        raise ConfigError(
            "top_k_percent_pixels", settings.top_k_percent_pixels, "1 for this network"
        )
    if settings.lovasz_weight:
        raise ConfigError("lovasz_weight", settings.lovasz_weight, "0 for this network")
    return NucleiLoss(
        settings=settings,
        convention=config.convention,
        gradients=config.gradients,
        branches={"np": (1.0, 1.0)} | ({"tp": weights} if config.type_count else {}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NucleiLoss:
    """A `Loss` of the pixels and regions of np and tp, of hv and of hv's derivatives.

    - Pixels: the mean of the cross entropy or focal loss over all pixels that are not ignored, in
      tp weighted by class.
    - Dice: the mean over patches of the sum over the classes that the truth of a patch has. The
      public code sums over the batch of a GPU, so that its loss depends on how a batch is split.
    - hv: the mean square over all pixels that are not ignored.
    - hv gradient: the mean square over the pixels of nuclei.

    By the convention "original" a Dice has all classes, whether the truth has them or not, and
    less slack, and probabilities in the cross entropy are clipped. A batch of one patch then has
    the public code's loss, where `dice_weight` is 1.

    Attributes:
        settings: what is asked for.
        convention: of cross entropy and Dice.
        gradients: derivatives of hv that are compared.
        branches: the outputs with labels, and the weights of these.
    """

    settings: LossSettings
    convention: Convention
    gradients: Gradients
    branches: dict[str, tuple[float, ...]]

    @property
    def terms(self) -> tuple[str, ...]:
        """See `Loss`."""
        kinds = [self.settings.loss.replace("_", " ")]
        kinds += ["Dice"] if self.settings.dice_weight else []
        return (*(f"{b} {kind}" for b in self.branches for kind in kinds), "hv", "hv gradient")

    def describe(self) -> str:
        """See `Loss`."""
        settings, factors = self.settings, dict[str, float]()
        for branch in self.branches:
            factors[f"{branch} {pixel_loss_in_words(settings)}"] = 1.0
            if settings.dice_weight:
                factors[f"{branch} Dice"] = settings.dice_weight
        factors["hv squared error"] = 1.0
        factors[f"hv gradient squared error ({self.gradients.replace('_', ' ')})"] = 1.0
        said = sum_in_words(factors, settings.class_weights)
        meanings = [MEANINGS[branch] for branch in (*self.branches, "hv")]
        return f"{said}; {', '.join(meanings)}"

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:  # noqa: ARG002  Loss'
        """See `Loss`."""
        terms = []
        for branch, class_weights in self.branches.items():
            labels = targets[branch]
            terms.append(_sum(pixel_weights(labels, class_weights)))
            if self.settings.dice_weight:
                terms.append(ops.max(valid_pixels(labels), axis=(1, 2)))
        channels = 2.0
        terms.append(channels * _sum(valid_pixels(targets["np"])))
        terms.append(channels * _sum(_on_nuclei(targets["np"])))
        return ops.stack(terms, axis=-1)

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:  # noqa: ARG002  Loss'
        """See `Loss`."""
        terms = []
        for branch, class_weights in self.branches.items():
            labels, logits = targets[branch], ops.cast(maps[branch], "float32")
            terms.append(
                _sum(self._of_pixels(labels, logits) * pixel_weights(labels, class_weights))
            )
            if self.settings.dice_weight:
                terms.append(self.settings.dice_weight * self._of_regions(labels, logits))
        return ops.stack([*terms, *self._of_hv(targets, maps)], axis=-1)

    def _of_pixels(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Errors of pixels, (n, h, w)."""
        errors = cross_entropy(labels, logits)
        if self.convention == "original":
            errors = ops.clip(errors, -np.log1p(-ORIGINAL_DOUBT), -np.log(ORIGINAL_DOUBT))
        if self.settings.loss == "focal":
            errors = focal(errors, self.settings.focal_gamma)
        return errors

    def _of_regions(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Sum of the Dice losses of classes, (n,)."""
        truth = truth_of(labels, int(logits.shape[-1]))
        probabilities = ops.softmax(logits) * valid_pixels(labels)[..., None]
        if self.convention == "original":
            return ops.sum(soft_dice(truth, probabilities, ORIGINAL_SLACK), axis=-1) * ops.max(
                valid_pixels(labels), axis=(1, 2)
            )
        return ops.sum(soft_dice(truth, probabilities) * present_classes(truth), axis=-1)

    def _of_hv(self, targets: TargetTensors, maps: MapTensors) -> list[Tensor]:
        """Squared errors of hv and of its derivatives, (n,) each."""
        known = valid_pixels(targets["np"])[..., None]
        differences = (ops.cast(maps["hv"], "float32") - targets["hv"]) * known
        # Derivatives are linear: the difference of two is that of the difference, and what is to
        # be ignored is in none of its neighbours' either.
        slopes = ops.conv(
            differences,
            derivative_kernel(self.gradients),
            padding="same",
            data_format="channels_last",
        )
        on_nuclei = _on_nuclei(targets["np"])[..., None]
        return [_sum(ops.square(differences)), _sum(ops.square(slopes) * on_nuclei)]


def derivative_kernel(gradients: Gradients) -> NDArray[np.float32]:
    """Return the kernel (5, 5, 2, 2) that takes a derivative of each channel of hv.

    Its weight at a place (x, y) from the middle is x / (x^2 + y^2) for the horizontal derivative.
    """
    places = np.arange(KERNEL, dtype=np.float64) - KERNEL // 2
    x, y = np.meshgrid(places, places)
    squares = np.maximum(x**2 + y**2, 1)  # the middle is 0 / 0
    along = (x / squares, y / squares)
    kernel = np.zeros((KERNEL, KERNEL, 2, 2), np.float32)
    for channel in range(2):
        kernel[..., channel, channel] = along[AXIS[gradients][channel]]
    return kernel


AXIS: dict[Gradients, tuple[int, int]] = {"same_axis": (0, 1), "cross_axis": (1, 0)}


def _on_nuclei(labels: Tensor) -> Tensor:
    return ops.cast(ops.equal(labels, 1), "float32")


def _sum(x: Tensor) -> Tensor:
    """Sums of x (n, ...) over all but the first axis, (n,)."""
    return ops.sum(x, axis=tuple(range(1, len(x.shape))))
