"""Checks that requests share: each raises ConfigError unless a value is one it can have."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError

# What people choose a program by.
_KINDS_OF_FILES = {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".png", ".svg", ".svs", ".tif", ".tiff", ".webp"),
    *(".csv", ".docx", ".htm", ".html", ".ods", ".pdf", ".tsv", ".xls", ".xlsx"),
    *(".anot", ".coco", ".geojson", ".json", ".mat", ".xml"),
    *(".h5", ".keras", ".npy", ".npz", ".onnx", ".pb", ".pkl", ".pt", ".pth"),
    *(".gz", ".tar", ".tgz", ".zip"),
}
_GIRDER_ID = re.compile("[0-9a-f]{24}")
_WORD = re.compile("[0-9A-Za-z_-]{0,64}")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The end of the chain in which every group of settings checks its own fields."""

    def __post_init__(self) -> None:
        """Nothing is left to check; paths are made so before the groups check theirs."""
        coerce_paths(self)


def is_girder_id(text: str) -> bool:
    """Return whether `text` has the form of an id of a Girder server."""
    return _GIRDER_ID.fullmatch(text) is not None


def check_girder_id(name: str, value: str, what: str) -> None:
    """Raise ConfigError unless `value` has the form of an id; `what` says whose id it must be."""
    if not is_girder_id(value):
        raise ConfigError(name, value, f"the id of {what} where a Girder server is given")


def check_word(name: str, value: str) -> None:
    """Raise ConfigError unless `value` is a short word of plain letters and digits, or empty."""
    if not _WORD.fullmatch(value):
        raise ConfigError(name, value, "at most 64 letters, digits, _ and -")


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


def check_kind_of_file(name: str, path: Path | None, *suffixes: str) -> None:
    """Raise ConfigError if the suffix of a result says another kind of file than will be written.

    Args:
        name: of the setting.
        path: of the result; None: it is not asked for.
        suffixes: that files of its kind have. Others that stand for no kind are names as any.
    """
    if path and path.suffix.lower() in _KINDS_OF_FILES.difference(suffixes):
        raise ConfigError(name, path, f"a file of type {' or '.join(suffixes)}")


def check_list(name: str, value: object, most: int) -> None:
    """Raise ConfigError unless `value` is a tuple of at most `most` rates."""
    if not isinstance(value, tuple):
        raise ConfigError(name, value, "a list")
    if len(value) > most:
        raise ConfigError(name, value, f"at most {most} rates")
