"""Names and colours of the types of nuclei, as HoVer-Net's `type_info.json` tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deeplab.annotations.formats.gather import LayerGatherer, check_is_file
from deeplab.annotations.formats.json_stream import values
from deeplab.annotations.shapes import Annotations
from deeplab.config.classes import PALETTE, Rgb
from deeplab.errors import AnnotationError

UNTYPED = "nuclei"  # the layer of those of which no type is told
NO_TYPE: Final = "no type"  # the layer of those of which a network of types knows none
NO_TYPE_COLOUR: Final[Rgb] = (160, 160, 160)
NO_TYPE_NUMBER = 0  # HoVer-Net's of such nuclei
TYPE_FILE = "type_info.json"
FORM = '"1": ["name", [red, green, blue]]'
KEY_SHOWN = 20  # characters of a key in a sentence
DIGITS = 9  # of the number of a type
MAX_BYTES = 1 << 20  # of a file of types
MOST_TYPES = 10_000  # that are read; no network has a fortieth of them
LONGEST_NAME = 200  # characters
Types = dict[int, tuple[str, Rgb | None]]


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What a list of types tells.

    Attributes:
        types: name and colour by number, as far as they are told.
        problems: what is not told as it should be, as ends of sentences about the list.
    """

    types: Types
    problems: tuple[str, ...] = ()


def read_type_info(path: Path) -> TypeInfo:
    """Return what a `type_info.json` tells.

    Raises:
        AnnotationError: it is missing, empty, no JSON, or longer than any list of types.
    """
    if check_is_file(path) > MAX_BYTES:
        raise AnnotationError(path, f"is longer than any list of types, {MAX_BYTES >> 20} MiB")
    return parse_type_info(next(values(path, ""), None))


def parse_type_info(given: object) -> TypeInfo:
    """Return what parsed JSON tells, of the form {"1": ["name", [red, green, blue]], ...}.

    A type whose colour makes no sense is told without one.
    """
    if not isinstance(given, dict):
        return TypeInfo({}, (f"tells of no types as {{{FORM}}}",))
    types: Types = {}
    problems = []
    for key, row in list(given.items())[:MOST_TYPES]:
        name = row[0] if isinstance(row, list) and len(row) == 2 else None
        shown = str(key)[:KEY_SHOWN]
        if not (_is_number(str(key)) and isinstance(name, str) and name.strip()):
            problems.append(f"does not tell of type {shown} as {FORM}")
            continue
        colour = _colour(row[1])
        if colour is None:
            problems.append(f"tells of type {shown} no colour of three numbers from 0 to 255")
        types[int(key)] = (name[:LONGEST_NAME], colour)
    if len(given) > MOST_TYPES:
        problems.append(f"tells of more than {MOST_TYPES:,} types")
    return TypeInfo(types, tuple(problems))


def named_types(classes: Sequence[str]) -> Types:
    """Return the types 1, 2, ... under the names that somebody gave them."""
    return {number: (name, None) for number, name in enumerate(classes, start=1)}


def types_beside(path: Path, gatherer: LayerGatherer) -> Types:
    """Return the types that a `type_info.json` beside a file tells; none where there is none.

    What it does not tell as it should is said.

    Raises:
        AnnotationError: it is damaged.
    """
    beside = path.with_name(TYPE_FILE)
    return said_types(read_type_info(beside), beside, gatherer) if beside.is_file() else {}


def said_types(info: TypeInfo, source: Path, gatherer: LayerGatherer) -> Types:
    """Return the types of a list, and say what it does not tell as it should.

    Args:
        info: what it tells.
        source: the file that it is from, for sentences.
        gatherer: takes the sentences.
    """
    for problem in info.problems:
        gatherer.say(f"{source.name} {problem}")
    return info.types


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
    """Return what `parse_type_info` reads, of the layers of `annotations` as types."""
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
    return isinstance(value, int | float) and type(value) is not bool and 0 <= value <= 255
