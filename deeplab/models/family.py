"""What the engines know of a family of networks; they never say its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Truth
from deeplab.config.network import NetworkConfig
from deeplab.config.train_request import LossSettings, StartSettings
from deeplab.config.views import AS_IT_IS, View
from deeplab.models.answers import Answer, AnswerKind, Maps, TileReading
from deeplab.models.loss import Loss
from deeplab.models.outputs import PredictedMap

ENCODER = "backbone."  # how the names of the layers of every encoder begin


def member_scope(number: int) -> str:
    """Return how the names of the weights of one of several networks begin, counted from 1."""
    return f"member_{number}"


# What the outputs of one patch are compared with, by the name of the output.
Targets = Mapping[str, NDArray[Any]]


class MakeLoss(Protocol):
    """Config and what is asked of a training to the loss of all outputs."""

    def __call__(
        self,
        config: Any,  # noqa: ANN401  the family's own config class
        settings: LossSettings,
    ) -> Loss:
        """The loss, with all its terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A second network, which only a training has: no bundle keeps anything of it.

    Attributes:
        model: The network's maps in, by name, further ones out; all its variables are trained.
        loss: Of these further maps; targets are those of the network.
        learning_rate: Its highest one.
    """

    model: keras.Model
    loss: Loss
    learning_rate: float


class MakeCompanion(Protocol):
    """Config, what is asked of a training and the network to its companion."""

    def __call__(
        self,
        config: Any,  # noqa: ANN401  the family's own config class
        settings: LossSettings,
        network: keras.Model,
    ) -> Companion:
        """Return the companion of networks of this config, with random weights."""


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
        """Return a graph: uint8 RGB (n, tile, tile, 3) in, the maps asked for out.

        A family that decodes is asked for none, and gives those that it decodes.
        """


class MakeTrimmingPredictor(Protocol):
    """Network to a graph that answers the middle of its tiles."""

    def __call__(self, network: keras.Model, *, maps: Sequence[PredictedMap]) -> keras.Model:
        """Return a graph: tiles "rgb" and pixels "trim", int32 (), in, the maps asked for out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of network: how it is built, trained and read.

    Attributes:
        name: As written in a bundle's card.
        config: The class of its knobs.
        needs: Kinds of truth that are drawn for each patch, see `Truth`.
        reading: What becomes of the maps of a tile.
        build: Knobs to network: uint8 RGB (n, h, w, 3) in, dict of named maps out.
        encode: Knobs and the truth of one patch (crop_size, crop_size), warped already, to the
            target of each output that the loss looks at; NumPy, in the patch's own thread. Where
            the network answers for the middle of a patch only, targets are of that middle.
        loss: Knobs and settings to the loss of all outputs together.
        predictor: Network to a graph that gives labels, confidence or probabilities of a tile, or
            what `decode` takes.
        trimming_predictor: Network to such a graph whose decoder only runs on the middle of its
            tiles; of families of which a `Tiling` has a `decoder_reach`.
        companion: What is trained on the network's maps beside it where that is asked for; None:
            the family has no such thing.
        head_layers: Beginnings of the names of the layers that belong to the classes rather than
            to the backbone.
        explain: Network to a graph that gives "classes", logits (n, classes), and "seen", the map
            (n, h, w, c) or tokens (n, 1 + h w, c) that activation maps are made of. None: what it
            answers shows where it is, or it is several networks.
        taps: Knobs and network to the layers whose maps also show what speaks for a class, by
            short names, from fine to coarse; None, as of `explain`.
        over_the_edge: Share of the side of a training patch that may lie beyond the slide.
        logit_layers: Likewise, of those whose weights have one entry a label in the last axis.
    """

    name: str
    config: type[NetworkConfig]
    needs: frozenset[str]
    reading: TileReading
    build: Callable[[Any], keras.Model]
    encode: Callable[[Any, Truth], Targets]
    loss: MakeLoss
    predictor: MakePredictor
    head_layers: tuple[str, ...]
    logit_layers: tuple[str, ...]
    trimming_predictor: MakeTrimmingPredictor | None = None
    companion: MakeCompanion | None = None
    over_the_edge: float = 0.25
    explain: Callable[[keras.Model], keras.Model] | None = None
    taps: Callable[[Any, keras.Model], Mapping[str, str]] | None = None

    def tile_graph(
        self,
        config: NetworkConfig,
        network: keras.Model,
        *,
        maps: Sequence[PredictedMap],
        views: Sequence[View] = AS_IT_IS,
    ) -> keras.Model:
        """Return the graph that a run over a slide uses: it trims where the config's tiling may.

        Raises:
            ConfigError: maps or views are asked for that it has not.
        """
        trimming = self.trimming_predictor
        if trimming and config.tiling.decoder_reach and tuple(views) == AS_IT_IS:
            return trimming(network, maps=maps)
        return self.predictor(network, maps=maps, views=views)

    @property
    def answer(self) -> AnswerKind:
        """The kind of answer that becomes of a tile."""
        return self.reading.answer

    @property
    def decode(self) -> Callable[[Any, Maps], Answer] | None:
        """Knobs and the maps of one tile to its answer, where the graph does not end in it."""
        return self.reading.decode

    def last_layers(self, settings: StartSettings) -> tuple[str, ...]:
        """Beginnings of the names of what a training calls the last layers, and trains faster."""
        return self.logit_layers if settings.last_layers_contain_logits_only else self.head_layers

    def fresh_layers(self, settings: StartSettings) -> tuple[str, ...]:
        """Beginnings of the names of the layers that take nothing from an initial model."""
        return () if settings.init_last_layer else self.last_layers(settings)
