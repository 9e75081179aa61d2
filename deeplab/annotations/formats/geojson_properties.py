"""What the properties of a GeoJSON feature say: its class, its colour, numbers and words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deeplab.annotations.formats.gather import browser_colour, shown
from deeplab.annotations.shapes import Property
from deeplab.config.classes import Rgb
from deeplab.report.words import counted

UNNAMED = "unclassified"
NAME = "name"  # of an object, beside its class
CLASSIFICATION = "classification"  # where QuPath has the class
# Where others have it, the first that is there; as written without case, blanks and underlines.
CLASS_KEYS = (
    *(CLASSIFICATION, "class", "classname", "classlabel", "category", "categoryname"),
    *("label", "labelname", "type", "celltype", "tissuetype", "group", "layer", NAME),
)
# What `type` is where it is no class.
KINDS = frozenset({"annotation", "detection", "feature", "polygon", "multipolygon", "point"})
# What is read elsewhere or says nothing of an object.
STRUCTURE = frozenset({"objecttype", "islocked", "color", "colorrgb", "measurements", "metadata"})
NAMED = 5  # properties that a sentence names
MOST_LOST = 50  # names of properties that are kept to be said
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the properties of one feature say."""

    name: str
    colour: Rgb | None
    words: Mapping[str, Property]


@dataclass(slots=True)
class PropertyReader:
    """Reads the properties of features, and knows at the end what is to be said of them.

    Attributes:
        classes: names of the classes 1, 2, ... where a file has numbers only.
    """

    classes: Sequence[str] = ()
    _taken: Counter[str] = field(default_factory=Counter)
    _lost: Counter[str] = field(default_factory=Counter)

    def read(self, properties: Json) -> Meaning:
        """Return the class, colour, numbers and words of a feature."""
        key, name = self._class_of(properties)
        self._taken[key] += 1
        given = properties.get(key) if key else None
        return Meaning(name, _colour(given, properties), dict(self._words(properties, taken=key)))

    def remarks(self) -> Iterator[str]:
        """Yield what was taken for the class where it is not plain, and what was left out."""
        for key, count in sorted(self._taken.items()):
            if not key:
                looked = ", ".join(CLASS_KEYS[:2]) + f", ... {CLASS_KEYS[-1]}"
                yield (
                    f"{counted(count, 'feature')} without a class (no property {looked}) in the"
                    f" layer {UNNAMED}"
                )
            elif _folded(key) != CLASSIFICATION:
                yield f"the class of {counted(count, 'feature')} is the property {shown(key)}"
        if self._lost:
            names = ", ".join(shown(key) for key in list(self._lost)[:NAMED])
            more = ", ..." if len(self._lost) > NAMED else ""
            yield f"properties that are neither numbers nor words were left out: {names}{more}"

    def _class_of(self, properties: Json) -> tuple[str, str]:
        """Return the property that has the class, and the class; without one, "" and UNNAMED."""
        by_fold: dict[str, str] = {}
        for each in properties:
            by_fold.setdefault(_folded(each), each)
        for fold in CLASS_KEYS:
            key = by_fold.get(fold)
            if key is not None and (name := self._name(properties[key], fold)):
                return key, name
        return "", UNNAMED

    def _name(self, value: object, fold: str) -> str:
        """Return the class that a value names; "": none."""
        if isinstance(value, dict):
            names = value.get("names")
            joined = ": ".join(map(str, names)) if isinstance(names, list) else ""
            value = value.get("name") or joined  # as QuPath shows it
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            value = ": ".join(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and fold != NAME:
            is_named = 0 < value <= len(self.classes)
            return self.classes[value - 1] if is_named else f"{fold} {value}"
        name = value if isinstance(value, str) else ""
        if fold == CLASSIFICATION:
            return name  # a blank one too: its layer is called by its place
        is_kind = fold == "type" and name.lower() in KINDS
        return "" if is_kind or not name.strip() else name

    def _words(self, properties: Json, taken: str) -> Iterator[tuple[str, Property]]:
        """Properties of its own, then QuPath's metadata and measurements in either form."""
        for key, value in properties.items():
            if key != taken and _folded(key) not in STRUCTURE:
                yield from self._word(key, value)
        metadata = properties.get("metadata")
        for key, value in (metadata if isinstance(metadata, dict) else {}).items():
            if isinstance(value, str):
                yield str(key), value
        for key, value in _measurements(properties.get("measurements")).items():
            if _is_number(value):
                yield key, value

    def _word(self, key: str, value: object) -> Iterator[tuple[str, Property]]:
        if isinstance(value, str) or _is_number(value):
            yield key, value  # type: ignore[misc]  # just looked at
        elif value not in (None, {}, []) and (key in self._lost or len(self._lost) < MOST_LOST):
            self._lost[key] += 1


def _measurements(given: object) -> Json:
    if isinstance(given, list):  # QuPath until 0.3: [{"name": ..., "value": ...}, ...]
        return {str(m.get("name")): m.get("value") for m in given if isinstance(m, dict)}
    return given if isinstance(given, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _colour(given: object, properties: Json) -> Rgb | None:
    given = given if isinstance(given, dict) else {}
    colour = given.get("color", properties.get("color"))
    if isinstance(given.get("colorRGB"), int):  # QuPath until 0.2: 0xAARRGGBB as a signed integer
        packed = given["colorRGB"]
        colour = [packed >> 16 & 255, packed >> 8 & 255, packed & 255]
    if isinstance(colour, str):
        return browser_colour(colour)
    if isinstance(colour, list) and len(colour) >= 3 and all(map(_is_byte, colour)):
        return colour[0], colour[1], colour[2]
    return None


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= 255


def _folded(key: str) -> str:
    return "".join(c for c in key.lower() if c not in " _-") if len(key) <= 40 else key
