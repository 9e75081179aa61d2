"""Checks that requests share: each raises ConfigError unless a value is one it can have."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from deeplab.errors import ConfigError

_GIRDER_ID = re.compile("[0-9a-f]{24}")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The end of the chain in which every group of settings checks its own fields."""

    def __post_init__(self) -> None:
        """Nothing is left to check."""


def is_girder_id(text: str) -> bool:
    """Whether `text` has the form of an id of a Girder server."""
    return _GIRDER_ID.fullmatch(text) is not None


def check_girder_id(name: str, value: str, what: str) -> None:
    """Raise ConfigError unless `value` has the form of an id; `what` says whose id it must be."""
    if not is_girder_id(value):
        raise ConfigError(name, value, f"the id of {what} where a Girder server is given")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise ConfigError unless `value` is a finite number of at least `least`."""
    if not least <= value < math.inf:  # in whole numbers, too, that no float holds
        raise ConfigError(name, value, f"at least {least:g}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(name, value, "one of " + ", ".join(choices))


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise ConfigError unless `value` is a number from `least` to `most`."""
    if not least <= value <= most:
        raise ConfigError(name, value, f"from {least:g} to {most:g}")


def check_value(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise ConfigError unless `value` is one of `choices`, of the same type."""
    # 8.0 and True are equal to whole numbers, and none.
    if value not in choices or type(value) not in map(type, choices):
        *others, last = map(str, choices)
        raise ConfigError(name, value, f"{', '.join(others)} or {last}" if others else last)


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Raise ConfigError unless `value` is a whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(name, value, "a whole number")
    check_range(name, value, least, most)


def check_list(name: str, value: object, most: int) -> None:
    """Raise ConfigError unless `value` is a tuple of at most `most` rates."""
    if not isinstance(value, tuple):
        raise ConfigError(name, value, "a list")
    if len(value) > most:
        raise ConfigError(name, value, f"at most {most} rates")
