"""JSON files of any size, read value by value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ijson
import numpy as np

from deeplab.annotations.gather import check_is_file
from deeplab.errors import AnnotationError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ENDS = ("end_map", "end_array")
MAX_DEPTH = 64  # lists and objects in one another; annotations have some ten
ESCAPE = re.compile(rb"\\.", re.DOTALL)  # a backslash in a string, and what it speaks of
NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
STEPS = np.zeros(256, np.int8)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1

Event = tuple[str, str, Any]  # prefix, event and value, as ijson has them


def values(path: Path, prefix: str) -> Iterator[Any]:
    """The values under a prefix, as in `features.item`, one by one; numbers as int or float.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    with _opened(path) as file:
        yield from ijson.items(_Shallow(file, path), prefix, use_float=True)


def events(path: Path) -> Iterator[Event]:
    """What a parser meets, in order.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    with _opened(path) as file:
        yield from ijson.parse(_Shallow(file, path), use_float=True)


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


class _Shallow:
    """The bytes of a file, as long as lists and objects are not too deep in one another.

    A parser that is handed deeper ones makes prefixes that grow with the square of the depth. The
    brackets are counted before it gets them, many at a time, which takes a tenth of the time that
    its events would.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._depth = 0
        self._in_string = False
        self._unread = b""  # a backslash whose partner is still to come

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            AnnotationError: they open more than may be.
        """
        found = self._file.read(size)
        plain = self._unread + found
        if b"\\" in plain:
            plain = ESCAPE.sub(b"", plain)
        self._unread = plain[-1:] if plain.endswith(b"\\") else b""
        parts = plain.translate(None, NO_BRACKETS).split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        if outside:
            depth = self._depth + np.cumsum(STEPS[np.frombuffer(outside, np.uint8)], dtype=np.int64)
            if depth.max() > MAX_DEPTH:
                raise AnnotationError(self._path, "is nested too deeply to be annotations")
            self._depth = int(depth[-1])
        return found


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
