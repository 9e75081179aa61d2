"""How what each family's network gives of a tile is read: without Keras, and without a network."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from deeplab.config.families import family_name
from deeplab.config.network import NetworkConfig
from deeplab.models.answers import TileReading
from deeplab.models.hovernet import decode as hovernet_decode
from deeplab.models.patch_classifier import decode as patch_decode

# Of families whose networks do not label every pixel.
_READINGS: Mapping[str, TileReading] = MappingProxyType(
    {
        "hovernet": TileReading("objects", hovernet_decode.decode),
        "patch_classifier": TileReading("patch", patch_decode.decode),
        "patch_ensemble": TileReading("patch", patch_decode.decode),
    }
)
_LABELS = TileReading("labels")


def reading_named(family: str) -> TileReading:
    """Return how the maps of a family's network are read; `family` is its name in the registry."""
    return _READINGS.get(family, _LABELS)


def reading_of(config: NetworkConfig) -> TileReading:
    """Return how the maps of the network of a config are read.

    Raises:
        ConfigError: it is the config of no known family.
    """
    return reading_named(family_name(config))
