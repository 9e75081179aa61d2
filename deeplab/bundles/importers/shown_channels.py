"""The channels that an imported network is shown, whose names no file tells."""

from __future__ import annotations

from deeplab.config.channels import RGB, Channels, named_channels
from deeplab.errors import ConfigError


def channels_named(names: tuple[str, ...], count: int) -> Channels:
    """Return `count` channels by name: red, green and blue where three have none, else numbered.

    Raises:
        ConfigError: the names are not as many.
    """
    if names and len(names) != count:
        must = f"{count} names, as many as the network has channels"
        raise ConfigError("channels", ", ".join(names), must)
    if names or count == len(RGB):
        return named_channels(names or RGB.names)
    return named_channels(tuple(f"channel {number}" for number in range(1, count + 1)))
