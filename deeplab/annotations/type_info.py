"""Names and colours of the types of nuclei, as HoVer-Net's `type_info.json` tells them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeplab.annotations.gather import LayerGatherer
from deeplab.annotations.json_stream import values
from deeplab.config.classes import PALETTE, Rgb

UNTYPED = "nuclei"  # the layer of those of which no type is told
TYPE_FILE = "type_info.json"
KEY_SHOWN = 20  # characters of a key in a sentence
DIGITS = 9  # of the number of a type
Types = dict[int, tuple[str, Rgb | None]]


def named_types(classes: Sequence[str]) -> Types:
    """Return the types 1, 2, ... under the names that somebody gave them."""
    return {number: (name, None) for number, name in enumerate(classes, start=1)}


def types_beside(path: Path, gatherer: LayerGatherer) -> Types:
    """Return the types that a `type_info.json` beside a file tells; none where there is none.

    Raises:
        AnnotationError: it is damaged.
    """
    beside = path.with_name(TYPE_FILE)
    if not beside.is_file():
        return {}
    return parse_types(next(values(beside, ""), None), beside.name, gatherer)


def parse_types(given: object, source: str, gatherer: LayerGatherer) -> Types:
    """Return types told as {"1": ["name", [red, green, blue]]}; what is not so is said.

    Args:
        given: the parsed JSON.
        source: what it is from, for sentences.
        gatherer: takes the sentences.
    """
    types: Types = {}
    for key, row in (given if isinstance(given, dict) else {}).items():
        if not (_is_number(key) and isinstance(row, list) and len(row) == 2):
            gatherer.say(
                f'type {key[:KEY_SHOWN]} in {source} is not told as "1": ["name", [r, g, b]]'
            )
            continue
        types[int(key)] = (str(row[0]), _colour(row[1]))
    types.pop(0, None)  # the background
    return types


def type_of(types: Types, number: int) -> tuple[str, Rgb | None]:
    """Return the name and colour of a type that may not be among those told."""
    return types.get(number, (f"type {number}", PALETTE[(number - 1) % len(PALETTE)]))


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) <= DIGITS


def _colour(value: object) -> Rgb | None:
    if isinstance(value, list) and len(value) == 3:
        red, green, blue = (int(each) if _is_byte(each) else -1 for each in value)
        return (red, green, blue) if min(red, green, blue) >= 0 else None
    return None


def _is_byte(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 255
