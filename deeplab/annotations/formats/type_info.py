"""Names and colours of the types of nuclei, as HoVer-Net's `type_info.json` tells them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deeplab.annotations.formats.gather import LayerGatherer
from deeplab.annotations.formats.json_stream import values
from deeplab.annotations.shapes import Annotations
from deeplab.config.classes import PALETTE, Rgb

UNTYPED = "nuclei"  # the layer of those of which no type is told
NO_TYPE: Final = "no type"  # the layer of those of which a network of types knows none
NO_TYPE_COLOUR: Final[Rgb] = (160, 160, 160)
NO_TYPE_NUMBER = 0  # HoVer-Net's of such nuclei
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
    return types


def open_types(types: Types, gatherer: LayerGatherer) -> None:
    """Open a layer for each type that there may be nuclei of, in the order told."""
    for number, (name, colour) in types.items():
        # What number 0 is called is told of the background, too, in files without such nuclei.
        if number != NO_TYPE_NUMBER:
            gatherer.open(name, colour)


def type_of(types: Types, number: int) -> tuple[str, Rgb | None]:
    """Return the name and colour of a type that may not be among those told."""
    if number == NO_TYPE_NUMBER:
        return types.get(number, (UNTYPED, None))
    return types.get(number, (f"type {number}", PALETTE[(number - 1) % len(PALETTE)]))


def number_types(annotations: Annotations) -> dict[str, int]:
    """Return the number of each layer as a type: 0 of NO_TYPE, else 1, 2, ... in their order."""
    typed = [name for name in annotations.names if name != NO_TYPE]
    numbers = {name: number for number, name in enumerate(typed, start=1)}
    return {name: numbers.get(name, NO_TYPE_NUMBER) for name in annotations.names}


def tell_types(annotations: Annotations) -> dict[str, tuple[str, Rgb]]:
    """Return what `parse_types` reads, of the layers of `annotations` as types."""
    colours = {layer.name: layer.colour for layer in reversed(annotations.layers)}
    numbers = number_types(annotations)
    return {str(number): (name, colours[name]) for name, number in numbers.items()}


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdecimal() and len(key) <= DIGITS


def _colour(value: object) -> Rgb | None:
    if isinstance(value, list) and len(value) == 3:
        red, green, blue = (int(each) if _is_byte(each) else -1 for each in value)
        return (red, green, blue) if min(red, green, blue) >= 0 else None
    return None


def _is_byte(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 255
