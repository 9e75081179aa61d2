"""Autoencoder post-processing (APP): a companion that tells labels from a few numbers a row.

It takes each row of each class's logits as one vector, presses it through a narrow layer and gives
a row of logits back, which are compared with the truth, too. Its gradients reach the network: that
learns to give logits of which a row can be told in few numbers. After the training it is dropped,
so the model and its cost are those of the network alone. As in the DEDL study of nuclei and fibres,
there is a rectifier after the last layer, too: of its logits only how far they differ counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import keras
from keras import layers

from deeplab.config.train_request import LossSettings
from deeplab.models.dense.losses import DenseConfig, semantic_loss
from deeplab.models.family import Companion
from deeplab.models.layers.resize import Tensor
from deeplab.models.loss import Loss, MapTensors, TargetTensors
from deeplab.models.outputs import SEMANTIC_LOGITS

COMPANION_LOGITS = "companion_logits"  # float32 (n, h, w, c), of the autoencoder

# Units of the layers for rows of 480 logits; for others as many times more or fewer.
STUDY_WIDTH = 480
STUDY_UNITS = (15360, 256, 128, 64, 32, 16, 32, 64, 128, 256)
LEAST_UNITS = 8  # fewer rectified ones may all be shut, and then nothing is learnt through them


class CroppedConfig(DenseConfig, Protocol):
    """What the autoencoder needs to know of a network."""

    @property
    def crop_size(self) -> int:
        """Side of the patches trained on, work pixels."""


def autoencoder(config: CroppedConfig, settings: LossSettings, network: keras.Model) -> Companion:
    """Return the autoencoder for the rows of a network's logits, as long as a patch makes them."""
    side = config.crop_size
    patch = keras.KerasTensor((1, side, side, network.input.shape[-1]), "uint8")
    _, _, width, labels = network.compute_output_spec(patch)[SEMANTIC_LOGITS].shape
    pixels = LossSettings(
        class_weights=settings.class_weights,
        upsample_logits=settings.upsample_logits,
        dice_weight=0.0,
    )
    return Companion(
        model=build(width, labels, settings.companion_activation),
        loss=AutoencoderLoss(semantic_loss(config, pixels)),
        learning_rate=settings.companion_learning_rate,
    )


def units_of(width: int) -> tuple[int, ...]:
    """Return the units of all layers for rows of so many logits, the last one's included."""
    return (*(max(LEAST_UNITS, round(n * width / STUDY_WIDTH)) for n in STUDY_UNITS), width)


def build(width: int, labels: int, activation: str) -> keras.Model:
    """Return {"semantic_logits": (n, h, width, labels)} to {"companion_logits": of equal shape}."""
    logits = keras.Input((None, width, labels), name=SEMANTIC_LOGITS)
    x = layers.Permute((1, 3, 2), name="rows")(logits)  # (n, h, labels, width)
    for number, units in enumerate(units_of(width), start=1):
        x = layers.Dense(
            units,
            activation=activation,
            kernel_initializer="he_normal",
            name=f"autoencoder.{number}",
        )(x)
    x = layers.Permute((1, 3, 2), name="columns")(x)
    x = layers.Activation("linear", dtype="float32", name=COMPANION_LOGITS)(x)
    return keras.Model({SEMANTIC_LOGITS: logits}, {COMPANION_LOGITS: x}, name="autoencoder")


@dataclass(frozen=True, slots=True)
class AutoencoderLoss:
    """A `Loss` of one term: the cross entropy of the autoencoder's logits.

    Attributes:
        of_logits: the same of the network's logits.
    """

    of_logits: Loss

    @property
    def terms(self) -> tuple[str, ...]:
        """See `Loss`."""
        return tuple(f"autoencoder {term}" for term in self.of_logits.terms)

    def describe(self) -> str:
        """See `Loss`."""
        return f"of an autoencoder on the rows of the logits, {self.of_logits.describe()}"

    def weights(self, targets: TargetTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        return self.of_logits.weights(targets, step)

    def errors(self, targets: TargetTensors, maps: MapTensors, step: Tensor | int) -> Tensor:
        """See `Loss`."""
        return self.of_logits.errors(targets, {SEMANTIC_LOGITS: maps[COMPANION_LOGITS]}, step)
