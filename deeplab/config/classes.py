"""The classes of a model: names, order and colours; 0 is the background."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from deeplab.errors import ConfigError

Rgb = tuple[int, int, int]

IGNORE = 255  # label value of pixels that nobody has judged: no loss, no metric counts them

# Distinct for the colour-blind too (Okabe and Ito 2008), the brighter ones first for H&E.
PALETTE: tuple[Rgb, ...] = (
    (0, 158, 115),
    (230, 159, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def parse_colour(text: str) -> Rgb:
    """Red, green and blue of `#rgb`, `#rrggbb`, `rgb(r, g, b)` or `rgba(r, g, b, a)`.

    Raises:
        ConfigError: `text` is none of these.
    """
    value = text.strip().lower()
    if match := re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", value):
        digits = match[1] if len(match[1]) == 6 else "".join(c * 2 for c in match[1])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    if match := re.fullmatch(
        r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?:,[^()]*)?\)", value
    ):
        red, green, blue = (min(255, int(match[i])) for i in (1, 2, 3))
        return red, green, blue
    raise ConfigError("colour", text, "#rrggbb or rgb(r, g, b)")


def hex_colour(colour: Rgb) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


@dataclass(frozen=True, slots=True)
class SlideClass:
    """One class that can be outlined on a slide."""

    name: str
    colour: Rgb

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigError("class name", self.name, "a name that is not blank")


@dataclass(frozen=True, slots=True)
class ClassList:
    """The classes 1, 2, ... of a label map; 0, the background, is not listed."""

    classes: tuple[SlideClass, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes]
        if not names:
            raise ConfigError("classes", "", "at least one name")
        if len(names) > 254:
            raise ConfigError("classes", len(names), "at most 254")
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ConfigError("classes", ", ".join(twice), "different from each other")

    @classmethod
    def named(cls, names: Iterable[str]) -> Self:
        """Classes of these names, in this order, with colours of the palette."""
        return cls(
            tuple(
                SlideClass(name.strip(), PALETTE[i % len(PALETTE)]) for i, name in enumerate(names)
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of classes 1, 2, ..."""
        return tuple(c.name for c in self.classes)

    @property
    def label_count(self) -> int:
        """Number of label values, the background included."""
        return len(self.classes) + 1

    def label(self, name: str) -> int:
        """Return the label value of a class.

        Raises:
            ConfigError: there is no such class.
        """
        if name not in self.names:
            raise ConfigError("class", name, "one of " + ", ".join(self.names))
        return self.names.index(name) + 1

    def of_label(self, label: int) -> SlideClass:
        """Return the class of a label value from 1 on."""
        return self.classes[label - 1]

    def __iter__(self) -> Iterator[SlideClass]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)
