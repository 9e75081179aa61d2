"""JSON files of any size, read value by value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ijson

from deeplab.annotations.gather import check_is_file
from deeplab.errors import AnnotationError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ENDS = ("end_map", "end_array")
MAX_DEPTH = 64  # lists and objects in one another; annotations have some ten

Event = tuple[str, str, Any]  # prefix, event and value, as ijson has them


def values(path: Path, prefix: str) -> Iterator[Any]:
    """The values under a prefix, as in `features.item`, one by one; numbers as int or float.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    with _opened(path) as file:
        yield from ijson.items(_events(file, path), prefix)


def events(path: Path) -> Iterator[Event]:
    """What a parser meets, in order.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    with _opened(path) as file:
        yield from _events(file, path)


def keys(path: Path) -> Iterator[str]:
    """The keys of a document, or of the first entry of its list.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    for prefix, event, value in events(path):
        if event == "map_key" and prefix in ("", "item"):
            yield str(value)
        elif event in ENDS and prefix == "item":
            return


def _events(file: IO[bytes], path: Path) -> Iterator[Event]:
    basic = ijson.basic_parse(file, use_float=True)
    found: Iterator[Event] = ijson.parse(_shallow(basic, path))
    return found


def _shallow(basic: Iterator[tuple[str, Any]], path: Path) -> Iterator[tuple[str, Any]]:
    """The same events; prefixes, which come after, would grow with the square of the depth."""
    depth = 0
    for pair in basic:
        event = pair[0]
        if event in ("start_map", "start_array"):
            depth += 1
            if depth > MAX_DEPTH:
                raise AnnotationError(path, "is nested too deeply to be annotations")
        elif event in ENDS:
            depth -= 1
        yield pair


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    check_is_file(path)
    try:
        with path.open("rb") as file:
            if file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
                file.seek(0)
            yield file
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise AnnotationError(path, _sentence(error)) from error


def _sentence(error: Exception) -> str:
    """What is wrong, without the drawing of the place in the text that the parser adds."""
    told = error.args[0] if error.args else ""
    text = told.decode("ascii", "replace") if isinstance(told, bytes) else str(told)
    for constant in ("NaN", "Infinity"):
        if constant in text:
            return f"holds {constant}, which is not a place on a slide"
    return f"is not JSON: {text.partition(chr(10))[0]}"
