"""HoVer-Net's `type_info.json`: {"1": ["neopla", [255, 0, 0]], ...}, names and colours of types."""

from __future__ import annotations

import json
from pathlib import Path

from deeplab.config.classes import ClassList, Rgb, SlideClass
from deeplab.errors import BundleError, ConfigError

MAX_BYTES = 2**20
FORM = 'it is {"1": ["name", [red, green, blue]], ...}'


def read_type_info(path: Path, type_count: int) -> ClassList:
    """Return the classes that a file names; type 0, the background, may be named and is left out.

    Args:
        path: The file.
        type_count: How many types the network tells apart, without the background.

    Raises:
        BundleError: the file does not exist or is not of this form.
        ConfigError: it names other types than the network has, or two alike.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BundleError(path, "is longer than any list of types")
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(path, f"is no JSON; {FORM}") from error
    if not isinstance(entries, dict):
        raise BundleError(path, f"names no types; {FORM}")
    wanted = [str(number) for number in range(1, type_count + 1)]
    if set(entries) - {"0"} != set(wanted):
        known = ", ".join(sorted(entries)[:20])
        must = f"of types 1 to {type_count}, those of the network" if wanted else "left away"
        raise ConfigError("type_info", known, must)
    return ClassList(tuple(_entry(path, number, entries[number]) for number in wanted))


def _entry(path: Path, number: str, entry: object) -> SlideClass:
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
        return SlideClass(entry[0], _colour(path, number, entry[1]))
    raise BundleError(path, f"says of type {number} no name and colour; {FORM}")


def _colour(path: Path, number: str, values: object) -> Rgb:
    numbers = values if isinstance(values, list) else []
    if len(numbers) == 3 and all(type(value) is int and 0 <= value <= 255 for value in numbers):
        return numbers[0], numbers[1], numbers[2]
    raise BundleError(path, f"says of type {number} no colour of three numbers from 0 to 255")
