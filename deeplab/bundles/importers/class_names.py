"""The classes of an imported network, of what its user says of them."""

from __future__ import annotations

from dataclasses import replace

from deeplab.config.classes import ClassList, parse_colour
from deeplab.errors import ConfigError


def named_classes(names: tuple[str, ...], colours: tuple[str, ...], label_count: int) -> ClassList:
    """Return the classes 1, 2, ...; of as many names as labels the first is the background's.

    Raises:
        ConfigError: names or colours are not as many as classes.
    """
    if not names:
        names = tuple(f"class {label}" for label in range(1, label_count))
    if len(names) == label_count:
        names = names[1:]
    if len(names) != label_count - 1:
        must = f"{label_count - 1} names, or {label_count} with the background's first"
        raise ConfigError("classes", ",".join(names), must)
    named = ClassList.named(names)
    if not colours:
        return named
    if len(colours) != len(names):
        raise ConfigError("colours", ",".join(colours), f"{len(names)}, one a class")
    return ClassList(
        tuple(
            replace(entry, colour=parse_colour(colour))
            for entry, colour in zip(named, colours, strict=True)
        )
    )
