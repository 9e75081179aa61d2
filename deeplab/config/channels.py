"""What a network is shown of a slide: the channels of its pixels, and how they become bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from deeplab.errors import ConfigError

MAX_CHANNELS = 32
MAX_NAME = 100  # letters
DARK, GLASS = 0, 255  # what is beyond a fluorescent slide, and beyond one that light shines through
WINDOW_RULE = "low:high as values (200:4000) or as percentiles of the slide (0.5%:99.8%)"
_WINDOW = re.compile(r"\s*([-+.\deE]+)\s*(%?)\s*:\s*([-+.\deE]+)\s*(%?)\s*")


@dataclass(frozen=True, slots=True)
class Window:
    """The values of a channel that become 0 and 255; what is between them rises evenly.

    Attributes:
        low: becomes 0, as does what is below.
        high: becomes 255, as does what is above.
        percentiles: whether both are percentiles of the channel's values on the slide.
    """

    low: float
    high: float
    percentiles: bool = False

    def __post_init__(self) -> None:
        least, most = (0.0, 100.0) if self.percentiles else (-math.inf, math.inf)
        if not (least <= self.low < self.high <= most and math.isfinite(self.high - self.low)):
            raise ConfigError("intensity_window", str(self), WINDOW_RULE)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a window as `str` writes it.

        Raises:
            ConfigError: it is none.
        """
        match = _WINDOW.fullmatch(text)
        try:
            if match and match[2] == match[4]:
                return cls(float(match[1]), float(match[3]), percentiles=bool(match[2]))
        except ValueError:  # such as 1e, or --1
            pass
        raise ConfigError("intensity_window", text, WINDOW_RULE)

    def __str__(self) -> str:
        unit = "%" if self.percentiles else ""
        return f"{self.low:.10g}{unit}:{self.high:.10g}{unit}"


# A few pixels in a thousand are dead, or dust that glows far above all cells.
USUAL_WINDOW = Window(0.5, 99.8, percentiles=True)
WHOLE_RANGE = Window(0, 100, percentiles=True)  # of what is measured: nothing is cut off


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of pixels uint8 (height, width, channels); its length is their count.

    Attributes:
        names: One a channel, in order.
        outside: The value of every channel where there is no slide: glass, or the dark.
        windows: How the values of each channel become bytes; empty for colours, which are bytes
            as slides have them.
    """

    names: tuple[str, ...] = ("R", "G", "B")
    outside: int = GLASS
    windows: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CHANNELS:
            raise ConfigError("channels", ", ".join(self.names), f"1 to {MAX_CHANNELS} names")
        if len(set(self.names)) != len(self.names) or not all(self.names):
            raise ConfigError("channels", ", ".join(self.names), "different names")
        if any(len(name) > MAX_NAME for name in self.names):
            raise ConfigError("channels", ", ".join(self.names), f"at most {MAX_NAME} letters each")
        if not 0 <= self.outside <= 255:
            raise ConfigError("outside", self.outside, "from 0 to 255")
        if self.windows and len(self.windows) != len(self.names):
            raise ConfigError("intensity_window", len(self.windows), f"{len(self.names)} windows")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def are_colours(self) -> bool:
        """Whether these are the colours of a slide that light shines through."""
        return not self.windows

    def to_json(self) -> dict[str, Any]:
        """Return them as a card keeps them."""
        return {"names": list(self.names), "windows": [str(window) for window in self.windows]}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Return the channels that `to_json` wrote; colours have no windows.

        Raises:
            ConfigError: it is something else.
        """
        names, windows = (
            value.get(key) if isinstance(value, dict) else None for key in ("names", "windows")
        )
        for each in (names, windows):
            if not isinstance(each, list) or not all(isinstance(text, str) for text in each):
                raise ConfigError("channels", value, "names and windows, texts each")
        windows = tuple(Window.parse(text) for text in windows or ())
        return cls(tuple(names or ()), DARK if windows else GLASS, windows)


RGB = Channels()


def named_channels(names: tuple[str, ...]) -> Channels:
    """Return channels by name, with the usual window; colours where these are red, green, blue."""
    if names == RGB.names:
        return RGB
    return Channels(names, DARK, (USUAL_WINDOW,) * len(names))


@dataclass(frozen=True, slots=True)
class ChannelRequest:
    """Channels to read off a slide, and what else they may be called there.

    Attributes:
        channels: What is to be read.
        elsewhere: By the name of a channel, what slides call it, a name or an index from 0 on;
            a slide that has none of these has it under its own name.
    """

    channels: Channels
    elsewhere: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def names_of(self, name: str) -> tuple[str, ...]:
        """Return what a channel may be called, the first that a slide has counts."""
        return (*self.elsewhere.get(name, ()), name)


def learnt_channels(
    channels: Sequence[str], windows: Sequence[str], *, usual: Window = USUAL_WINDOW
) -> ChannelRequest | None:
    """Return the channels that are asked for, as by a training; None where these are colours.

    Args:
        channels: "name" or "name=what slides call it", or indices.
        windows: "low:high" for all channels, or "name=low:high".
        usual: of a channel for which none is given.

    Raises:
        ConfigError: names or windows are not possible.
    """
    if not channels:
        if windows:
            must = "left away where no channels are given: colours have no window"
            raise ConfigError("intensity_window", ", ".join(windows), must)
        return None
    pairs = [_parted("channels", text) for text in channels]
    names = tuple(dict.fromkeys(name for name, _ in pairs))
    if sum(not other for _, other in pairs) + len({n for n, other in pairs if other}) > len(names):
        raise ConfigError("channels", ", ".join(channels), "different names")
    others = dict.fromkeys(names, usual)
    found = Channels(names, DARK, tuple(_windows(names, windows, others)))
    return ChannelRequest(found, _elsewhere(pairs))


def asked_channels(
    known: Channels, channels: Sequence[str], windows: Sequence[str]
) -> ChannelRequest | None:
    """Return how the channels that a model `known`s are read off a slide; None for colours.

    Args:
        known: The channels that the model was trained on.
        channels: "name=what the slide calls it", or for all channels in their order what the
            slide calls them; empty: as the model does.
        windows: "low:high" for all channels, or "name=low:high"; empty: as in the training.

    Raises:
        ConfigError: the model sees colours, or has no such channel.
    """
    if known.are_colours:
        if channels or windows:
            name = "channels" if channels else "intensity_window"
            must = "left away: the model sees the colours of a slide (R, G, B), not channels"
            raise ConfigError(name, ", ".join(channels or windows), must)
        return None
    pairs = [_parted("channels", text) for text in channels]
    if pairs and not any(other for _, other in pairs):
        bare = [name for name, _ in pairs]
        if len(set(bare)) == len(known) and set(bare) != set(known.names):
            pairs = list(zip(known.names, bare, strict=True))
    for name, _ in pairs:
        if name not in known.names:
            there = ", ".join(known.names)
            must = f"name=what the slide calls it, of a channel that the model sees: {there}"
            raise ConfigError("channels", ", ".join(channels), must)
    own = dict(zip(known.names, known.windows, strict=True))
    seen = Channels(known.names, known.outside, tuple(_windows(known.names, windows, own)))
    return ChannelRequest(seen, _elsewhere(pairs))


def _parted(setting: str, text: str) -> tuple[str, str]:
    """Return "name=other" as its parts; the second is empty where there is none.

    Raises:
        ConfigError: a part is empty.
    """
    name, equals, other = (part.strip() for part in text.partition("="))
    if not name or (equals and not other):
        raise ConfigError(setting, text, "a name, or name=what slides call it")
    return name, other


def _elsewhere(pairs: Iterable[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    others: dict[str, tuple[str, ...]] = {}
    for name, other in pairs:
        if other:
            others[name] = (*others.get(name, ()), other)
    return MappingProxyType(others)


def _windows(
    names: Sequence[str], texts: Sequence[str], usual: Mapping[str, Window]
) -> Iterable[Window]:
    """Return the window of each channel: its own, that of all, or the usual one.

    Raises:
        ConfigError: one is of no channel, or given twice.
    """
    given: dict[str, Window] = {}
    for text in texts:
        name, equals, window = text.rpartition("=")
        name = name.strip()
        if (equals and name not in names) or name in given:
            must = f"low:high once, or name=low:high once for a channel of {', '.join(names)}"
            raise ConfigError("intensity_window", text, must)
        given[name] = Window.parse(window)
    return [given.get(name, given.get("", usual[name])) for name in names]
