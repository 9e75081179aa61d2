"""Which layers of an encoder activation maps are made of, beside the last one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Protocol

import keras

from deeplab.config.patch_encoders import PatchEncoder, ResNet38Facts
from deeplab.errors import ConfigError
from deeplab.models.family import ENCODER
from deeplab.models.patch_classifier.blocks import SEEN, WHOLE

MOST = 3  # layers, where a card names none
_SHORT = re.compile(rf"(?:{re.escape(ENCODER)})?(.+?)(?:\.add|\.act)?")


class TapConfig(Protocol):
    """What the layers depend on."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of layers; none: those that are usual for the encoder."""

    @property
    def encoder(self) -> PatchEncoder | None:
        """The facts of an encoder of whole patches; None for a backbone."""


def tap_layers(config: TapConfig, network: keras.Model) -> Mapping[str, str]:
    """Return the layers whose maps show what speaks for a class, by a short name each.

    They are those that the card names, or those of the encoder's publication; else the last maps
    of the three coarsest sizes through which all of the network passes, the finest of them first. A
    transformer of one size has one.

    Raises:
        ConfigError: the card names a layer that is not there or has no map.
    """
    layers = {layer.name: layer for layer in network.layers}
    seen = SEEN if SEEN in layers else WHOLE
    names = config.taps
    if not names and isinstance(config.encoder, ResNet38Facts):
        names = config.encoder.taps
    for name in names:
        if name != seen and (name not in layers or len(layers[name].output.shape) != 4):
            found = ", ".join(_last_of_each_size(network))
            raise ConfigError("taps", name, f"a layer of this network with a map, as {found}")
    if not names:
        names = (*_last_of_each_size(network)[-MOST:-1], seen)
    return {_SHORT.fullmatch(name)[1]: name for name in names}  # type: ignore[index]  # fits any


def _last_of_each_size(network: keras.Model) -> list[str]:
    """Return the last layer of each size of map through which all passes, from fine to coarse."""
    sized = [(layer.output.shape[1], layer.name) for layer in _narrows(network)]
    last = [name for (side, name), (next_side, _) in pairwise(sized) if next_side != side]
    return [*last, *(name for _, name in sized[-1:])]


def _narrows(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yield the encoder's layers with a map beside which nothing leads on to the classes."""
    layers = [layer for layer in network.layers if layer.name.startswith((ENCODER, WHOLE))]
    used: dict[int, int] = {}  # the last layer that takes a tensor, by the tensor
    for number, layer in enumerate(layers):
        taken = layer.input if isinstance(layer.input, list) else [layer.input]
        used |= {id(tensor): number for tensor in taken}
    open_until = 0
    for number, layer in enumerate(layers):
        is_narrow = open_until <= number
        open_until = max(open_until, used.get(id(layer.output), number))
        if is_narrow and len(layer.output.shape) == 4 and layer.output.shape[1] is not None:
            yield layer
