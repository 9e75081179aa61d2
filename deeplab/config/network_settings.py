"""What a training says of its network, in the words of the form, and the knobs that follow."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from deeplab.config.channels import ChannelRequest, learnt_channels
from deeplab.config.checks import Checked, check_at_least, check_choice, check_range
from deeplab.errors import ConfigError

NONE = "none"
LARGEST = 2**53  # whole numbers up to this are numbers of every kind
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Checked):
    """The network that learns.

    Attributes:
        network: the family of networks.
        network_options: knobs of the network as "name=value", over what the other settings say;
            lists have blanks between their numbers: "multi_grid=1 2 4".
        channels: names (or, from 0 on, indices) of the channels of a slide that the network is
            shown, each as "name" or "name=what slides call it"; empty: its colours.
        intensity_window: values of the channels that become 0 and 255, as "low:high" or, of one
            channel, "name=low:high"; "0.5%:99.8%" are percentiles of each slide. Empty: these.
        patch_size: side of a training patch, work pixels; 0: what the network suggests. Rounded
            up to one that all its maps fit: for DeepLabV3+ a multiple of 16 plus 1 (32 with a map
            as coarse as that). EfficientDet takes a multiple of 128 only.
        backbone: a row of the table of backbones.
        atrous_rates: of the ASPP; none: no ASPP branches.
        output_stride: of the backbone.
        aspp_filters: channels of the ASPP.
        decoder_filters: channels of the decoder.
        depth_multiplier: of mobilenet_v2's channels.
        drop_path_keep_prob: share of a cell's paths kept in training, of the nas backbones.
    """

    network: str = "deeplabv3plus"
    network_options: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    intensity_window: tuple[str, ...] = ()
    patch_size: int = 0
    backbone: str = "mobilenet_v2"
    atrous_rates: tuple[int, ...] = (6, 12, 18)
    output_stride: int = 16
    aspp_filters: int = 256
    decoder_filters: int = 256
    depth_multiplier: float = 1.0
    drop_path_keep_prob: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch_size:
            check_at_least("patch_size", self.patch_size, 33)
        check_at_least("aspp_filters", self.aspp_filters, 1)
        check_at_least("decoder_filters", self.decoder_filters, 1)
        check_at_least("depth_multiplier", self.depth_multiplier, 0.1)
        for rate in self.atrous_rates:
            check_at_least("atrous_rates", rate, 1)
        check_choice("output_stride", str(self.output_stride), ("8", "16", "32"))
        check_range("drop_path_keep_prob", self.drop_path_keep_prob, 0.1, 1)
        _ = self.learnt_channels  # checks names and windows

    @property
    def learnt_channels(self) -> ChannelRequest | None:
        """What is to be read of slides; None for their colours."""
        return learnt_channels(self.channels, self.intensity_window)

    def knobs(self, config: type, *, told: Sequence[str]) -> dict[str, Any]:
        """Return the knobs that a config class gets: settings of the same names, then options.

        Args:
            config: The family's dataclass.
            told: Knobs that follow from the classes and the patches, so that no option sets them.

        Raises:
            ConfigError: a setting of another network was changed, an option is no knob of this
                one, is given twice, or its value is not of the knob's type.
        """
        known = {each.name for each in fields(config)} - {*told, *_OF_EVERY_NETWORK}
        knobs: dict[str, Any] = {}
        for each in fields(NetworkSettings):
            value = getattr(self, each.name)
            if each.name in known:
                knobs[each.name] = value
            elif each.name not in _OF_EVERY_NETWORK and value != each.default:
                must = f"left away: the network {self.network} has none"
                raise ConfigError(each.name, value, must)
        return knobs | self._options(config, known)

    def _options(self, config: type, known: set[str]) -> dict[str, Any]:
        kinds = typing.get_type_hints(config)
        options: dict[str, Any] = {}
        for option in self.network_options:
            name, equals, text = (part.strip() for part in option.partition("="))
            if not equals or name not in known:
                must = f"name=value with a knob of {self.network}: {', '.join(sorted(known))}"
                raise ConfigError("network_options", option, must)
            if name in options:
                raise ConfigError("network_options", option, f"the only one that gives {name}")
            options[name] = value_of_text(name, text, kinds[name])
        return options


_OF_EVERY_NETWORK = {"network", "network_options", "patch_size", "channels", "intensity_window"}


def value_of_text(name: str, text: str, kind: Any) -> object:  # noqa: ANN401  a type, or a union of some
    """Return the value that a text gives to a setting of this type.

    Raises:
        ConfigError: it is none.
    """
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if text.lower() == NONE:
            return None
        (kind,) = (part for part in parts if part is not types.NoneType)
        return value_of_text(name, text, kind)
    if origin is tuple:
        words = () if text.lower() == NONE else text.split()
        return tuple(value_of_text(name, word, parts[0]) for word in words)
    if origin is Literal or kind is str:
        return text
    if kind is bool:
        return _truth(name, text)
    return _number(name, text, kind)


def text_of_value(value: object) -> str:
    """Return the text that `value_of_text` reads as a value."""
    if isinstance(value, tuple):
        return " ".join(map(text_of_value, value)) or NONE
    if isinstance(value, bool):
        return str(value).lower()
    return NONE if value is None else str(value)


def _truth(name: str, text: str) -> bool:
    if text.lower() not in TRUTHS:
        raise ConfigError(name, text, "true or false")
    return TRUTHS[text.lower()]


def _number(name: str, text: str, kind: type[int | float]) -> float:
    must = "a whole number" if kind is int else "a number"
    try:
        number = kind(text)
    except ValueError:
        raise ConfigError(name, text, must) from None
    if not abs(number) <= LARGEST:  # NaN is not, either
        raise ConfigError(name, text, must)
    return number
