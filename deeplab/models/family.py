"""What the engines know of a family of networks; they never say its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.config.network import NetworkConfig
from deeplab.config.train_request import LossSettings, StartSettings
from deeplab.config.views import View
from deeplab.models.loss import Loss
from deeplab.models.outputs import PredictedMap


class MakeLosses(Protocol):
    """Config and what is asked of a training to one loss an output."""

    def __call__(
        self,
        config: Any,  # noqa: ANN401  the family's own config class
        settings: LossSettings,
    ) -> Mapping[str, Loss]:
        """Losses by the name of the output."""


class MakePredictor(Protocol):
    """Network to a graph for tiles, of one size or any, that ends in what inference keeps."""

    def __call__(
        self,
        network: keras.Model,
        *,
        tile: int | None = ...,
        maps: Sequence[PredictedMap] = ...,
        views: Sequence[View] = ...,
    ) -> keras.Model:
        """uint8 RGB (n, tile, tile, 3) in, the maps asked for out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of network: how it is built, trained and read.

    Attributes:
        name: As written in a bundle's card.
        config: The class of its knobs.
        build: Knobs to network: uint8 RGB (n, h, w, 3) in, dict of named maps out.
        encode: Labels (h, w) to the target of each output.
        losses: Knobs and settings to a loss for each output.
        predictor: Network to a graph that gives labels, confidence or probabilities of a tile.
        head_layers: Beginnings of the names of the layers that belong to the classes rather than
            to the backbone.
        logit_layers: Likewise, of those whose weights have one entry a label in the last axis.
    """

    name: str
    config: type[NetworkConfig]
    build: Callable[[Any], keras.Model]
    encode: Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.generic]]]
    losses: MakeLosses
    predictor: MakePredictor
    head_layers: tuple[str, ...]
    logit_layers: tuple[str, ...]

    def last_layers(self, settings: StartSettings) -> tuple[str, ...]:
        """Beginnings of the names of what a training calls the last layers, and trains faster."""
        return self.logit_layers if settings.last_layers_contain_logits_only else self.head_layers

    def fresh_layers(self, settings: StartSettings) -> tuple[str, ...]:
        """Beginnings of the names of the layers that take nothing from an initial model."""
        return () if settings.init_last_layer else self.last_layers(settings)
