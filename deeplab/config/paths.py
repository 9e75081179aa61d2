"""Paths of a request, given as texts or `os.PathLike`, become what its fields say."""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any


def coerce_paths(request: object) -> None:
    """Make texts in fields of paths `Path`, and an `os.PathLike` in a field of text a text.

    To be called first when the request is made, before its fields are checked.
    """
    kind: type = type(request)
    for name, coerce in _coercions(kind).items():
        value = getattr(request, name)
        if value is not None:
            object.__setattr__(request, name, coerce(value))


@cache
def _coercions(kind: type) -> Mapping[str, Callable[[Any], object]]:
    """Return by field what makes a path of a value; fields that are no paths are not in it."""
    hints = typing.get_type_hints(kind)
    found: dict[str, Callable[[Any], object]] = {}
    for field in fields(typing.cast("Any", kind)):
        hint = hints[field.name]
        if hint is str:  # may name a slide, or an item of a server
            found[field.name] = os.fspath
        elif Path in (hint, *typing.get_args(hint)):
            found[field.name] = _all_paths if typing.get_origin(hint) is tuple else Path
    return found


def _all_paths(values: tuple[str | os.PathLike[str], ...]) -> tuple[Path, ...]:
    return tuple(map(Path, values))
