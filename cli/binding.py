"""From the words of a command line, a form or a file to the frozen request of an engine."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from deeplab.config.checks import is_girder_id
from deeplab.config.requests import Points
from deeplab.errors import ConfigError, SlideNotFoundError
from deeplab.files import check_spared, real_place
from deeplab.names import without_surrogates
from deeplab_cli.forms import Parameter, Spec
from deeplab_cli.parser import CONFIG, UsageError

Request = TypeVar("Request")

# What people type for a list of numbers that is empty. A list of names may have a name like these.
NO_NUMBERS = ("none", "empty", "[]", "()")
LARGEST = 2**53  # whole numbers up to this are numbers of every kind
_NUMBER_VECTORS = ("integer-vector", "float-vector", "double-vector")
_FILE_KINDS = ("image", "file", "directory", "item")
_REGION = (
    "a rectangle x,y,width,height or polygons x1,y1,x2,y2,x3,y3,... with -1,-1 between them,"
    " in pixels of the full resolution"
)
# HistomicsUI, asked to add a shape to the region -1,-1,-1,-1 (all), first turns that into these.
_ALL_AS_POLYGON = ["-1", "-1", "-2", "-1", "-2", "-2", "-1", "-2"]


def bind(
    spec: Spec, request: type[Request], fields: Mapping[str, str], given: Mapping[str, str]
) -> Request:
    """Return the request that `given` describes; what is not given has the request's default.

    Args:
        spec: the form.
        request: the dataclass to make.
        fields: field of the request by parameter, where they are called differently.
        given: text by parameter; an empty text is the same as none, except of a vector.

    Raises:
        UsageError: something is missing.
        ConfigError: a value is not of its type, not one of its choices or out of range, or two
            results are one file.
        OutputError: a result is a file that is read.
        SlideNotFoundError: there is no such slide or folder of slides.
    """
    types = typing.get_type_hints(request)
    needed = {
        field.name
        for field in dataclasses.fields(typing.cast("Any", request))
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    values: dict[str, object] = {}
    for parameter in spec.parameters:
        field = fields.get(parameter.name, parameter.name)
        text = given.get(parameter.name, "").strip()
        if text:
            path = Path in (types[field], *typing.get_args(types[field]))
            values[field] = Path(text) if path else value_of(parameter, _readable(parameter, text))
        elif field in needed:
            raise UsageError(f"{parameter.name} is missing: {parameter.help}")
        elif parameter.name in given and parameter.kind.endswith("-vector"):
            values[field] = ()
    _check_inputs(spec, given)
    try:
        bound = request(**values)
    except ConfigError as error:
        names = {field: name for name, field in fields.items()}
        raise ConfigError(names.get(error.name, error.name), error.value, error.must) from None
    _check_outputs(spec, given)
    return bound


def _readable(parameter: Parameter, text: str) -> str:
    """Return a text as UTF-8 whatever the locale; one that names a file keeps that file's bytes."""
    return text if parameter.kind in _FILE_KINDS else without_surrogates(text)


def _check_inputs(spec: Spec, given: Mapping[str, str]) -> None:
    """Raise unless each file to read is there; an id on a server is the engine's to look up."""
    on_server = bool(given.get("girderApiUrl"))
    for parameter in spec.parameters:
        text = given.get(parameter.name, "").strip()
        if parameter.is_output or parameter.kind not in _FILE_KINDS or not text:
            continue
        if parameter.is_id and on_server:
            continue
        if _is_there(text):
            check_is_readable(parameter.name, text)
            continue
        if _is_there(f"{text}.index"):  # a TensorFlow 1 checkpoint, by the beginning of its name
            continue
        if parameter.is_id and is_girder_id(text):
            raise UsageError(
                f"{parameter.name} {text} is an id of a Girder server, but girderApiUrl is empty:"
                " a job must name girderApiUrl and girderToken, even empty, to have them filled in"
            )
        if parameter.is_id:
            raise SlideNotFoundError(text, "does not exist")
        raise ConfigError(parameter.name, text, "a file that exists")


def _check_outputs(spec: Spec, given: Mapping[str, str]) -> None:
    """Raise where a result would take the place of another, or of a file that is read for it."""
    files = [each for each in spec.parameters if each.kind in _FILE_KINDS]
    read = [each.name for each in files if not each.is_output]
    written = [each.name for each in files if each.is_output]
    taken: dict[Path, str] = {}
    for name in (CONFIG, *read, *written):
        if text := given.get(name, "").strip():
            place = real_place(Path(text))
            if name in written and taken.get(place) in written:
                raise ConfigError(name, text, f"another file than {taken[place]}")
            if name in written:
                check_spared([Path(text)], taken)
            taken[place] = name


def check_is_readable(name: str, text: str) -> None:
    """Refuse a pipe or a device as a file to read: who reads it waits for ever, or reads for ever.

    Raises:
        ConfigError: `text`, the setting `name`, is one.
    """
    if _is_there(text) and not (Path(text).is_file() or Path(text).is_dir()):
        raise ConfigError(name, text, "a plain file or a folder")


def _is_there(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # no file can have a name that is so long
        return False


def given_fields(spec: Spec, fields: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """Return the fields of the request that somebody gave, whatever their values.

    HistomicsUI gives every parameter that has a default; of a line that does nobody knows what was
    chosen, so it has none.

    Args:
        spec: the form.
        fields: field of the request by parameter, where they are called differently.
        given: text by parameter.
    """
    if all(parameter.name in given for parameter in spec.parameters if parameter.default):
        return []
    vectors = {p.name for p in spec.parameters if p.kind.endswith("-vector")}
    return [
        fields.get(name, name) for name, text in given.items() if text.strip() or name in vectors
    ]


def texts_of(
    spec: Spec, fields: Mapping[str, str], settings: Mapping[str, object]
) -> dict[str, str]:
    """Return the settings of a file as text by parameter, as a command line would give them.

    A setting is called as the parameter or as the field of the request.

    Raises:
        ConfigError: a value is of no type that a parameter can have, or is given twice.
    """
    names = {fields.get(parameter.name, parameter.name): parameter for parameter in spec.parameters}
    names |= {parameter.name: parameter for parameter in spec.parameters}
    texts: dict[str, str] = {}
    for key, value in settings.items():
        parameter = names[key]
        if parameter.name in texts:
            raise ConfigError(parameter.name, value, "given once")
        texts[parameter.name] = _text_of(parameter, value)
    return texts


def _text_of(parameter: Parameter, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return _plain_text_of(parameter, value)
    except ValueError as error:  # more digits than Python writes, which TOML has in base 16
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(parameter.name, value, "a number of fewer digits") from None


def _plain_text_of(parameter: Parameter, value: object) -> str:
    if isinstance(value, str | int | float):
        return str(value)
    many = parameter.kind.endswith("-vector") or parameter.kind == "region"
    if many and isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([str(part) for part in value])
        return line.getvalue()
    raise ConfigError(parameter.name, value, f"a {parameter.kind}")


def value_of(parameter: Parameter, text: str) -> object:
    """The value that `text` stands for; string vectors lose their blanks, "none" has no numbers.

    A part of a vector that has a comma stands in quotes, as in CSV: "other, unsure",tumour.

    Raises:
        ConfigError: it is not one of this parameter.
    """
    name, kind = parameter.name, parameter.kind
    if parameter.choices and text not in parameter.choices:
        raise ConfigError(name, text, "one of " + ", ".join(parameter.choices))
    if kind in _NUMBER_VECTORS and text.lower() in NO_NUMBERS:
        return ()
    if kind.endswith("-vector"):
        try:
            (row,) = csv.reader([text], skipinitialspace=True)
        except csv.Error as error:
            raise ConfigError(name, text, f"on one line, with commas between ({error})") from None
        parts = [part.strip() for part in row]
        return tuple(_scalar(name, kind.removesuffix("-vector"), part) for part in parts if part)
    if kind == "region":
        return regions_of(text)
    return _scalar(name, kind.removesuffix("-enumeration"), text)


def _scalar(name: str, kind: str, text: str) -> object:
    if kind == "boolean":
        if text.lower() in ("true", "1"):
            return True
        if text.lower() in ("false", "0"):
            return False
        raise ConfigError(name, text, "true or false")
    if kind == "integer":
        return _whole_number(name, text)
    if kind in ("float", "double"):
        return _number(name, text)
    return text


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ConfigError(name, text, "a number") from None
    if not math.isfinite(number):
        raise ConfigError(name, text, "a number")
    return number


def _whole_number(name: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        as_float = _number(name, text)
        if not as_float.is_integer():
            raise ConfigError(name, text, "a whole number") from None
        number = int(as_float)
    if abs(number) > LARGEST:
        raise ConfigError(name, text, f"a whole number of at most {LARGEST}")
    return number


def regions_of(text: str) -> tuple[Points, ...]:
    """The polygons of a region as HistomicsUI writes it; none for -1,-1,-1,-1, the whole slide.

    Four numbers are a rectangle x, y, width, height; six are the Slicer form's centre and radii
    in x, y, z. More are the corners of polygons; a pair written "-1,-1" stands between two of
    them, while "-1.0,-1.0" is a corner. "-2,-2" marks a line.

    Returns:
        Polygons of at least three different corners (x, y), level-0 pixels, not closed.

    Raises:
        ConfigError: it is none of these.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    numbers = [_number("region", word) for word in words]
    if len(numbers) == 4:
        return () if numbers == [-1] * 4 else (_rectangle(text, *numbers),)
    if len(numbers) == 6:
        x, y, _, x_radius, y_radius, _ = numbers
        return (_rectangle(text, x - x_radius, y - y_radius, 2 * x_radius, 2 * y_radius),)
    if words[: len(_ALL_AS_POLYGON)] == _ALL_AS_POLYGON:
        words = words[len(_ALL_AS_POLYGON) :]
    if len(words) % 2:
        raise ConfigError("region", text, _REGION)
    polygons: list[list[tuple[float, float]]] = [[]]
    for x_word, y_word in zip(words[::2], words[1::2], strict=True):
        if x_word == y_word == "-1":
            polygons.append([])
        elif x_word == y_word == "-2":
            raise ConfigError("region", text, "a rectangle or polygons, not a line")
        else:
            polygons[-1].append((float(x_word), float(y_word)))
    found = tuple(_opened(polygon) for polygon in polygons if polygon)
    if any(len(set(polygon)) < 3 for polygon in found):
        raise ConfigError("region", text, _REGION)
    return found


def _rectangle(text: str, x: float, y: float, width: float, height: float) -> Points:
    if width <= 0 or height <= 0:
        raise ConfigError("region", text, "a rectangle with a width and a height above 0")
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def _opened(polygon: list[tuple[float, float]]) -> Points:
    """Return the polygon without the corners at its end that only repeat its first."""
    end = len(polygon)
    while end > 1 and polygon[end - 1] == polygon[0]:
        end -= 1
    return tuple(polygon[:end])
