"""The loss of a network that labels pixels: of the pixels, and of the regions that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from keras import ops

from deeplab.config.train_request import LossSettings
from deeplab.errors import ConfigError
from deeplab.models.dense.label_sets import LossOfLabelSets
from deeplab.models.dense.pixel_losses import (
    cross_entropy,
    focal,
    hard_counts,
    hard_share,
    pixel_loss_in_words,
    pixel_weights,
    sum_of_hardest,
    valid_pixels,
)
from deeplab.models.dense.region_losses import (
    lovasz_softmax,
    mean_over,
    present_classes,
    soft_dice,
    truth_of,
)
from deeplab.models.layers.resize import Tensor, resize_align_corners
from deeplab.models.loss import Loss, MapTensors, TargetTensors, sum_in_words
from deeplab.models.outputs import SEMANTIC_LOGITS


class DenseConfig(Protocol):
    """What the loss needs to know of a network."""

    @property
    def label_count(self) -> int:
        """Labels, the background's included."""

    @property
    def logit_stride(self) -> int:
        """Work pixels per logit."""


def semantic_loss(config: DenseConfig, settings: LossSettings) -> Loss:
    """Return the loss of "semantic_logits": targets uint8 (n, h, w), logits (n, h/s, w/s, c).

    Where several label sets are asked for, it is the sum of theirs.

    Raises:
        ConfigError: the class weights are not one a label.
    """
    weights = settings.class_weights or (1.0,) * config.label_count
    if len(weights) != config.label_count:
        raise ConfigError(
            "class_weights", weights, f"{config.label_count} numbers, the background's first"
        )
    loss = SemanticLoss(
        settings=settings,
        class_weights=weights,
        label_stride=1 if settings.upsample_logits else config.logit_stride,
    )
    sets = settings.label_set_weights
    return LossOfLabelSets(loss=loss, weights_of=sets) if sets else loss


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticLoss:
    """A `Loss` of up to three terms: of pixels, and where they are asked for Dice and Lovasz.

    - Pixels: the mean, weighted by class, of the cross entropy or focal loss over all pixels that
      are not ignored, or over the hardest of each patch. (The ancestor took the hardest of the
      whole batch; then the replicas that share a batch would have to exchange all errors.)
    - Dice: the mean over patches of that of the classes, without the background, that the truth
      has; patches that have none are left out.
    - Lovasz: likewise, the background included.

    Attributes:
        settings: what is asked for.
        class_weights: of every label.
        label_stride: 1, and logits are brought to the labels' size; or the stride of the logits,
            and labels are taken at their places.
    """

    settings: LossSettings
    class_weights: tuple[float, ...]
    label_stride: int

    @property
    def terms(self) -> tuple[str, ...]:
        """See `Loss`."""
        settings = self.settings
        asked = (("Dice", settings.dice_weight), ("Lovasz", settings.lovasz_weight))
        return (settings.loss.replace("_", " "), *(name for name, weight in asked if weight))

    def describe(self) -> str:
        """See `Loss`."""
        settings = self.settings
        pixels = pixel_loss_in_words(settings)
        if self._mines:
            pixels += f" of the hardest {settings.top_k_percent_pixels:.0%} of the pixels"
        asked = (("Dice", settings.dice_weight), ("Lovász", settings.lovasz_weight))
        regions = {name: weight for name, weight in asked if weight}
        return sum_in_words({pixels: 1.0} | regions, settings.class_weights)

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        labels = self._at_places(targets[SEMANTIC_LOGITS])
        weights = _flat(pixel_weights(labels, self.class_weights))
        terms = [ops.sum(weights, axis=-1)]
        if self._mines:
            terms[0] = terms[0] * self._hard_part(weights, step)
        if self.settings.dice_weight or self.settings.lovasz_weight:
            present = present_classes(truth_of(labels, len(self.class_weights)))
            if self.settings.dice_weight:
                terms.append(ops.max(present[:, 1:], axis=-1))
            if self.settings.lovasz_weight:
                terms.append(ops.max(present, axis=-1))
        return ops.stack(terms, axis=-1)

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        labels = self._at_places(targets[SEMANTIC_LOGITS])
        logits = ops.cast(maps[SEMANTIC_LOGITS], "float32")
        if self.label_stride == 1:
            _, height, width = ops.shape(labels)
            logits = resize_align_corners(logits, height, width)
        terms = [self._of_pixels(labels, logits, step)]
        if self.settings.dice_weight or self.settings.lovasz_weight:
            terms += self._of_regions(labels, logits)
        return ops.stack(terms, axis=-1)

    def _of_pixels(self, labels: Tensor, logits: Tensor, step: Tensor | int) -> Tensor:
        errors = cross_entropy(labels, logits)
        if self.settings.loss == "focal":
            errors = focal(errors, self.settings.focal_gamma)
        weights = _flat(pixel_weights(labels, self.class_weights))
        errors = _flat(errors) * weights
        if not self._mines:
            return ops.sum(errors, axis=-1)
        return sum_of_hardest(errors, hard_counts(weights, self._share(step)))

    def _of_regions(self, labels: Tensor, logits: Tensor) -> list[Tensor]:
        valid = valid_pixels(labels)
        truth = truth_of(labels, len(self.class_weights))
        probabilities = ops.softmax(logits) * valid[..., None]
        present = present_classes(truth)
        terms = []
        if self.settings.dice_weight:
            dice = mean_over(present[:, 1:], soft_dice(truth, probabilities)[:, 1:])
            terms.append(self.settings.dice_weight * dice)
        if self.settings.lovasz_weight:
            lovasz = mean_over(present, lovasz_softmax(truth, probabilities, valid))
            terms.append(self.settings.lovasz_weight * lovasz)
        return terms

    @property
    def _mines(self) -> bool:
        return self.settings.top_k_percent_pixels < 1

    def _share(self, step: Tensor | int) -> Tensor:
        settings = self.settings
        return hard_share(step, settings.top_k_percent_pixels, settings.hard_example_mining_step)

    def _hard_part(self, weights: Tensor, step: Tensor | int) -> Tensor:
        """Return which part of the pixels that weigh something count, (n,)."""
        counted = ops.sum(ops.cast(weights > 0, "float32"), axis=-1)
        return ops.divide_no_nan(hard_counts(weights, self._share(step)), counted)

    def _at_places(self, labels: Tensor) -> Tensor:
        stride = self.label_stride
        return labels if stride == 1 else labels[:, ::stride, ::stride]


def _flat(pixels: Tensor) -> Tensor:
    """Return pixels (n, h, w) as (n, h * w)."""
    _, height, width = ops.shape(pixels)
    return ops.reshape(pixels, (-1, height * width))
