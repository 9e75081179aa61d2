"""What a network is shown of a slide: the channels of its pixels."""

from __future__ import annotations

from dataclasses import dataclass

from deeplab.errors import ConfigError

MAX_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of pixels uint8 (height, width, channels); its length is their count.

    Attributes:
        names: One a channel, in order.
        outside: The value of every channel where there is no slide: glass.
    """

    names: tuple[str, ...] = ("R", "G", "B")
    outside: int = 255

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= MAX_CHANNELS:
            raise ConfigError("channels", self.names, f"1 to {MAX_CHANNELS} names")
        if len(set(self.names)) != len(self.names) or not all(self.names):
            raise ConfigError("channels", ", ".join(self.names), "different names")
        if not 0 <= self.outside <= 255:
            raise ConfigError("outside", self.outside, "from 0 to 255")

    def __len__(self) -> int:
        return len(self.names)


RGB = Channels()
