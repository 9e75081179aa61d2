"""XML of any length, read safely one element after the other; tags to be written."""

from __future__ import annotations

import html
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from deeplab.annotations.formats.gather import FARTHEST, check_is_file
from deeplab.annotations.formats.text_encoding import text_encoding
from deeplab.annotations.rounding import count_decimals
from deeplab.errors import AnnotationError

Event = Literal["start", "end"]
CHUNK_BYTES = 1 << 14
BY_ITSELF = ("utf-8-sig", "utf-16", "utf-32")  # by their first bytes
# Control characters have no place in XML, and a reader would turn these three into blanks.
PLAIN = re.compile(r"[ \w.,:;+-]*", re.ASCII)  # most of what is written, and needs no care
KEPT_CONTROLS = {"\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def root_of(path: Path) -> str:
    """Return the tag of the element that all others are in; nothing behind it is looked at.

    Without its namespace: what serialises XML may add one, and no format here is known by it.

    Raises:
        AnnotationError: it is not XML, or declares a document type, which could hold entities.
    """
    return _local(_root_as_written(path))


def _root_as_written(path: Path) -> str:
    """Return the tag of the root, with its namespace in braces where it has one."""
    prolog = _Prolog(path)
    with _opened(path) as file, _sentences(path):
        parser = etree.XMLParser(
            target=prolog,
            encoding=_encoding(path),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
        )
        while not prolog.root:
            chunk = file.read(CHUNK_BYTES)
            if not chunk:
                parser.close()
                break
            parser.feed(chunk)
    return prolog.root


def elements(path: Path, tags: Sequence[str]) -> Iterator[tuple[Event, Any]]:
    """Yield the elements of some tags, when they begin and when they end.

    What ends is forgotten as soon as the next is asked for, with all that stood before it in the
    same element, so memory does not grow with the file.

    Raises:
        AnnotationError: it is not XML, cut off, or declares a document type.
    """
    # A document type is refused before a parser could expand what it declares.
    has_namespace = _root_as_written(path).startswith("{")
    with _opened(path) as file, _sentences(path):
        events = etree.iterparse(
            file,
            events=("start", "end"),
            tag=None if has_namespace else tags,
            encoding=_encoding(path),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        while (found := next(events, None)) is not None:
            event, element = found
            if has_namespace:
                element.tag = _local(element.tag)
                if element.tag not in tags:
                    continue
            yield event, element
            if event == "end":
                _forget(element)


def check_root(path: Path, tag: str, title: str) -> None:
    """Refuses another kind of XML.

    Raises:
        AnnotationError: the file begins with another tag.
    """
    if (found := root_of(path)) != tag:
        raise AnnotationError(path, f"is not {title} file: it begins with <{found}>")


def points(
    texts: tuple[Sequence[str], Sequence[str]],
    where: str,
    path: Path,
    *,
    farthest: float = FARTHEST,
) -> NDArray[np.float64]:
    """Points of the texts of their X and Y, float64 (points, 2); level-0 pixels, or what they are.

    Raises:
        AnnotationError: one is missing, not a number or not on a slide.
    """
    if len(texts[0]) != len(texts[1]):
        raise AnnotationError(path, f"{where} has a vertex without X or Y")
    try:
        places = _numbers(texts)
    except ValueError as error:
        raise AnnotationError(path, f"{where} has a vertex that is not a number") from error
    if not (np.abs(places) <= farthest).all():
        raise AnnotationError(path, f"{where} has a vertex that is not on a slide")
    return places


def written_number(text: str) -> float:
    """Return a number as any country writes it: with a decimal point or, alone, a decimal comma.

    Raises:
        ValueError: it is none.
    """
    return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)


def _numbers(texts: tuple[Sequence[str], Sequence[str]]) -> NDArray[np.float64]:
    try:
        return np.array([list(map(float, text)) for text in texts]).T
    except ValueError:  # a file of a country that writes commas: rare, and slower
        return np.array([list(map(written_number, text)) for text in texts]).T


def tag(name: str, attributes: Mapping[str, str], end: str = ">") -> str:
    """Return a tag that begins an element, or is all of it where `end` is "/>"."""
    fields = (f' {key}="{_escape(value)}"' for key, value in attributes.items())
    return f"<{name}{''.join(fields)}{end}"


def corner_fields(corners: NDArray[np.float64]) -> Iterator[str]:
    """Give the attributes X and Y of each corner (corners, 2), in the decimals that they take."""
    decimals = count_decimals(corners)
    return (f'X="{x:.{decimals}f}" Y="{y:.{decimals}f}"' for x, y in corners.tolist())


class _Prolog:
    """Told by a parser what a file begins with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.root = ""

    def doctype(self, *_: str | None) -> None:
        raise AnnotationError(
            self._path, "declares a document type or entities, which is not allowed"
        )

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self.root = self.root or tag

    def close(self) -> None:
        pass


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    check_is_file(path)
    try:
        with path.open("rb") as file:
            _skip_blanks(file)
            yield file
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error


def _skip_blanks(file: BinaryIO) -> None:
    """Go to the declaration where only blanks stand before it, which XML does not allow."""
    head = file.read(CHUNK_BYTES)
    begin = head.find(b"<?xml")
    file.seek(begin if begin > 0 and not head[:begin].removeprefix(BOM_UTF8).strip() else 0)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (etree.XMLSyntaxError, LookupError, UnicodeError) as error:
        problem = error.msg if isinstance(error, etree.XMLSyntaxError) else str(error)
        advice = "; save it as UTF-8" if "ncoding" in problem else ""
        raise AnnotationError(path, f"is not XML that can be read: {problem}{advice}") from error


def _local(tag: str) -> str:
    """Return the name of a tag, written as `{namespace}name` where it has a namespace."""
    return tag.rpartition("}")[2]


def _encoding(path: Path) -> str | None:
    """Return what a parser must be told of the encoding; None where it sees it by itself."""
    found = text_encoding(path)
    return None if found in BY_ITSELF else found


def _forget(element: Any) -> None:  # noqa: ANN401  lxml has no types
    element.clear(keep_tail=False)
    parent = element.getparent()
    while element.getprevious() is not None:
        del parent[0]


def _escape(text: str) -> str:
    """Text as the value of an attribute."""
    if PLAIN.fullmatch(text):
        return text
    kept = "".join(
        c if c >= " " and c not in "\ufffe\uffff" else KEPT_CONTROLS.get(c, " ")
        for c in html.escape(text)
    )
    return kept.encode("utf-8", "replace").decode()
