"""The classes of an imported HoVer-Net, as its `type_info.json` names them."""

from __future__ import annotations

from pathlib import Path

from deeplab.annotations.formats.type_info import FORM, NO_TYPE_NUMBER, read_type_info
from deeplab.config.classes import ClassList, SlideClass
from deeplab.errors import AnnotationError, ConfigError

SHOWN = 20  # numbers in a sentence


def read_type_classes(path: Path, type_count: int) -> ClassList:
    """Return the classes that a file names; type 0, the background, may be named and is left out.

    Args:
        path: The file.
        type_count: How many types the network tells apart, without the background.

    Raises:
        AnnotationError: the file does not exist, or tells of a type in another form.
        ConfigError: it names other types than the network has, or two alike.
    """
    info = read_type_info(path)
    if info.problems:
        raise AnnotationError(path, f"{info.problems[0]}; it is {{{FORM}, ...}}")
    types = {number: told for number, told in info.types.items() if number != NO_TYPE_NUMBER}
    wanted = range(1, type_count + 1)
    if set(types) != set(wanted):
        known = ", ".join(map(str, sorted(info.types)[:SHOWN]))
        must = f"of types 1 to {type_count}, those of the network" if wanted else "left away"
        raise ConfigError("type_info", known, must)
    told = [types[number] for number in wanted]  # each with a colour, or that were a problem
    return ClassList(tuple(SlideClass(name, colour) for name, colour in told if colour))
