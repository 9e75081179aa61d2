"""JSON files of any size, read value by value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import ijson
import numpy as np

from deeplab.annotations.formats.gather import check_is_file
from deeplab.annotations.formats.text_encoding import Utf8Bytes, text_encoding
from deeplab.errors import AnnotationError

UTF8 = ("utf-8", "utf-8-sig")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ENDS = ("end_map", "end_array")
MAX_DEPTH = 64  # lists and objects in one another; annotations have some ten
MAX_TEXT = 1 << 26  # bytes of one string; run lengths of the largest pictures have a tenth
MAX_WORD = 1 << 12  # bytes of one number
ESCAPE = re.compile(rb"\\.", re.DOTALL)  # a backslash in a string, and what it speaks of
NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
STEPS = np.zeros(256, np.int8)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1

OF_WORDS = bytes(c for c in range(128) if chr(c).isalnum()) + b"+-."
STRING_END = re.compile(rb'(?:[^"\\]|\\.)*"', re.DOTALL)
STRING = re.compile(rb'("(?:[^"\\]+|\\.)*"?)', re.DOTALL)
ALIKE = bytes(48 if chr(c).isdecimal() else ord(chr(c).lower()) for c in range(256))
ODD = (b"nan", b"inf", b"e000", b"e+000", b"0" * 19)  # where digits and the case are all alike
WORD = re.compile(rb"[-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|[nN][aA][nN]|[iI][nN][fF](?:inity)?)")
LARGEST = (1 << 63) - 1
NO_NUMBER = b"{}"
ADVICE = {  # by what the parser says
    "premature eof": "; it is cut short: copy or export it again",
    "incomplete json": "; it is cut short: copy or export it again",
    "trailing garbage": "; it must hold one value: of a feature a line make one FeatureCollection",
    "invalid char": "; export it again, or name it by the suffix of what it is",
}


class Bytes(Protocol):
    """What a parser reads from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end."""


class _NotJsonError(AnnotationError):
    """Told apart only here: the parser could not go on."""


Event = tuple[str, str, Any]  # prefix, event and value, as ijson has them


def values(path: Path, prefix: str) -> Iterator[Any]:
    """Yield the values under a prefix, as in `features.item`, one by one; numbers as int or float.

    What stands for a number and is none, as NaN, is an empty object.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    yield from _parsed(path, lambda file: ijson.items(file, prefix, use_float=True))


def pairs(path: Path, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the keys of an object under a prefix and their values, one by one.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    yield from _parsed(path, lambda file: ijson.kvitems(file, prefix, use_float=True))


def events(path: Path) -> Iterator[Event]:
    """Yield what a parser meets, in order.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    yield from _parsed(path, lambda file: ijson.parse(file, use_float=True))


def _parsed(path: Path, parse: Callable[[Bytes], Iterator[Any]]) -> Iterator[Any]:
    """Yield what a parser makes of a file; where it stops, from there on of the mended text."""
    done = 0
    try:
        with _opened(path) as file:
            for each in parse(_Bounded(file, path)):
                yield each
                done += 1
            return
    except _NotJsonError:
        pass
    with _opened(path) as file:
        encoding = text_encoding(path)
        text = file if encoding in UTF8 else Utf8Bytes(file, encoding)
        yield from islice(parse(_Bounded(_Mended(text, path), path)), done, None)


def keys(path: Path) -> Iterator[str]:
    """Yield the keys of a document, or of the first entry of its list.

    Raises:
        AnnotationError: the file is missing or empty, or is not JSON.
    """
    for prefix, event, value in events(path):
        if event == "map_key" and prefix in ("", "item"):
            yield str(value)
        elif event in ENDS and prefix == "item":
            return


class _Bounded:
    """The bytes of a file, as long as they are what annotations can be.

    A parser that is handed lists and objects too deep in one another makes prefixes that grow with
    the square of the depth. The brackets are counted before it gets them, many at a time, which
    takes a tenth of the time that its events would.
    """

    def __init__(self, file: Bytes, path: Path) -> None:
        self._file, self._path = file, path
        self._depth = 0
        self._in_string = False
        self._text_bytes = 0  # of the string that is not at its end
        self._unread = b""  # a backslash whose partner is still to come

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes.

        Raises:
            AnnotationError: they open more than may be, or a text has no end.
        """
        found = self._file.read(size)
        plain = self._unread + found
        if b"\\" in plain:
            plain = ESCAPE.sub(b"", plain)
        self._unread = plain[-1:] if plain.endswith(b"\\") else b""
        parts = plain.translate(None, NO_BRACKETS).split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._text_bytes = self._text_bytes + len(found) if len(parts) == 1 else 0
        if self._text_bytes > MAX_TEXT and self._in_string:
            raise AnnotationError(self._path, "holds a text without end")
        self._in_string ^= len(parts) % 2 == 0
        if outside:
            depth = self._depth + np.cumsum(STEPS[np.frombuffer(outside, np.uint8)], dtype=np.int64)
            if depth.max() > MAX_DEPTH:
                raise AnnotationError(self._path, "is nested too deeply to be annotations")
            self._depth = int(depth[-1])
        return found


class _Mended:
    """The bytes of a file in which each number is such as JSON has.

    Some programs write NaN and Infinity all the same, or whole numbers of more than 64 bits. What
    is no number becomes an empty object, which is none either, what is too large a fraction.
    """

    def __init__(self, file: Bytes, path: Path) -> None:
        self._file, self._path = file, path
        self._in_string = False
        self._held = b""  # a word or a backslash whose end is still to come

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; none at the end of the file.

        Raises:
            AnnotationError: a number has no end.
        """
        while True:
            found = self._file.read(size)
            whole = self._take(self._held + found, is_last=not found)
            if whole or not found:
                return whole

    def _take(self, found: bytes, *, is_last: bool) -> bytes:
        plain = ESCAPE.sub(b"", found)
        began_in_string = self._in_string
        self._in_string ^= plain.count(b'"') % 2 == 1
        end = len(found)
        if plain.endswith(b"\\"):
            end -= 1
        elif not self._in_string and not is_last:
            end = len(found.rstrip(OF_WORDS))
        self._held = found[end:]
        if len(self._held) > MAX_WORD:
            raise AnnotationError(self._path, "holds a number without end")
        return _mend_numbers(found[:end], in_string=began_in_string)


def _mend_numbers(text: bytes, *, in_string: bool) -> bytes:
    """Text in which all numbers are such as JSON has; what stands in strings is kept."""
    head = b""
    if in_string:
        end = STRING_END.match(text)
        head = text[: end.end()] if end else text
    parts = STRING.split(text[len(head) :])  # by turns what is in no string, and a string
    for at in range(0, len(parts), 2):
        alike = parts[at].translate(ALIKE)
        if any(odd in alike for odd in ODD):
            parts[at] = WORD.sub(_mend_number, parts[at])
    return head + b"".join(parts)


def _mend_number(found: re.Match[bytes]) -> bytes:
    word = found[0]
    try:
        value = float(word)
    except ValueError:
        return word  # no number at all: the parser says so
    if not math.isfinite(value):
        return NO_NUMBER
    if not word.lstrip(b"-").isdigit() or abs(int(word)) <= LARGEST:
        return word
    return repr(value).encode()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    check_is_file(path)
    try:
        with path.open("rb") as file:
            if file.read(len(BYTE_ORDER_MARK)) != BYTE_ORDER_MARK:
                file.seek(0)
            yield file
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error
    except (ijson.JSONError, UnicodeDecodeError) as error:
        raise _NotJsonError(path, _sentence(error)) from error


def _sentence(error: Exception) -> str:
    """Return what is wrong, without the drawing of the place in the text that the parser adds."""
    told = error.args[0] if error.args else ""
    text = told.decode("ascii", "replace") if isinstance(told, bytes) else str(told)
    problem = text.partition(chr(10))[0]
    advice = next((words for cause, words in ADVICE.items() if cause in problem.lower()), "")
    return f"is not JSON: {problem}{advice}"
