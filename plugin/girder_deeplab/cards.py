"""What a model's file says of itself, read without the engine and without trusting it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from girder.exceptions import GirderException
from girder.models.file import File

Document = dict[str, Any]

CARD_NAME = "card.json"
FORMAT = "histomics-deeplab"
MOST_CARD_BYTES = 2**20
# A model has at most 10,000 files; Python reads the whole list of a zip before anything else.
MOST_LIST_BYTES = 4 * 2**20
END_OF_LIST = struct.Struct("<4s4H2LH")
MOST_COMMENT_BYTES = 2**16
MOST_CLASSES, MOST_METRICS = 254, 1000
MOST_NAME, MOST_TEXT = 1000, 10_000  # letters
GIRDER_ID, SHA256 = re.compile("[0-9a-f]{24}"), re.compile("[0-9a-f]{64}")
PIECE_BYTES = 2**20
COLOUR = re.compile("#[0-9a-f]{6}")
SEGMENT, CLASSIFY = "SegmentWSI", "ClassifyPatches"  # the tasks that use a model
CLASSIFIERS = ("patch_classifier", "patch_ensemble")  # families that ClassifyPatches uses


class NoModelError(ValueError):
    """A file is no model; the message says why, to go after its name."""


def may_be_model(file: Document) -> bool:
    """Return whether a file of Girder is called as models are."""
    return str(file.get("name", "")).lower().endswith(".zip")


def read_facts(file: Document) -> Document:
    """Return what the card of a model in Girder says, ready for an item's metadata.

    Returns:
        `task` that uses the model, `family`, `classes` (`name`, `colour`), `mpp` at which it works
        or None, `metrics` (`name`, `value`), `trained_on`, `slides` (ids of items that it is known
        to have learnt from), `layers` (ids of annotations that it learnt from itself), `models`
        (digests of those that it is made of), `finished`, `demonstration`, `notice`; and the file's
        `sha256`.

    Raises:
        NoModelError: the file is none, or damaged.
    """
    if not may_be_model(file):
        raise NoModelError("is no .zip")
    try:
        with _opened(file) as handle:
            facts = _facts(json.loads(_card_in(handle), parse_constant=_refuse_constant))
        digest = hashlib.sha256()
        for piece in pieces_of(file):
            digest.update(piece)
        return {**facts, "sha256": digest.hexdigest()}
    except NoModelError:
        raise
    except KeyError as error:
        raise NoModelError(f"has no {CARD_NAME}") from error
    except (ValueError, RecursionError) as error:
        raise NoModelError(f"has a {CARD_NAME} that is not JSON") from error
    # RuntimeError: it is encrypted, or packed in a way that Python does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise NoModelError("is damaged") from error
    except (OSError, GirderException) as error:
        raise NoModelError("cannot be read from where the server keeps it") from error


def pieces_of(file: Document) -> Iterator[bytes]:
    """Yield the content of a file of Girder.

    Raises:
        OSError, GirderException: it cannot be read.
    """
    with _opened(file) as handle:
        while piece := handle.read(PIECE_BYTES):
            yield piece


def _opened(file: Document) -> AbstractContextManager[BinaryIO]:
    if not file.get("assetstoreId"):
        raise OSError(f"{file['name']} is a link to elsewhere")
    return File().open(file)


def _card_in(handle: BinaryIO) -> bytes:
    handle.seek(0, 2)
    handle.seek(max(0, handle.tell() - MOST_COMMENT_BYTES - END_OF_LIST.size))
    tail = handle.read()
    place = tail.rfind(b"PK\5\6")
    if place < 0 or len(tail) < place + END_OF_LIST.size:
        raise NoModelError("is no zip, or is damaged")
    if END_OF_LIST.unpack_from(tail, place)[5] > MOST_LIST_BYTES:
        raise NoModelError("has more files than a model")
    with zipfile.ZipFile(handle) as archive, archive.open(CARD_NAME) as card:
        text = card.read(MOST_CARD_BYTES + 1)
    if len(text) > MOST_CARD_BYTES:
        raise NoModelError(f"has a {CARD_NAME} of more than 1 MiB")
    return text


def _facts(card: object) -> Document:
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise NoModelError(f"has a {CARD_NAME} that is not of the format {FORMAT}")
    family = _text(card.get("family"), MOST_NAME)
    if not family:
        raise NoModelError(f"has a {CARD_NAME} without a family")
    training = card.get("training") if isinstance(card.get("training"), dict) else {}
    return {
        "task": CLASSIFY if family in CLASSIFIERS else SEGMENT,
        "family": family,
        "classes": _classes(card.get("classes")),
        "mpp": _number(card.get("work_mpp", card.get("mpp_work"))),
        "metrics": _metrics(card.get("metrics")),
        "trained_on": _text(card.get("trained_on"), MOST_TEXT),
        "slides": _words(training.get("slides"), GIRDER_ID),
        "layers": _words(training.get("layers"), GIRDER_ID),
        "models": _words(training.get("models"), SHA256),
        "finished": _text(training.get("finished"), MOST_NAME),
        "demonstration": card.get("demonstration") is True,
        "notice": _text(card.get("notice"), MOST_TEXT),
    }


def _classes(told: object) -> list[Document]:
    if not isinstance(told, list) or not told or len(told) > MOST_CLASSES:
        raise NoModelError(f"has a {CARD_NAME} without classes")
    found = []
    for each in told:
        name = _text(each.get("name"), MOST_NAME) if isinstance(each, dict) else ""
        colour = _text(each.get("colour"), MOST_NAME) if isinstance(each, dict) else ""
        if not name or not COLOUR.fullmatch(colour):
            raise NoModelError(f"has a {CARD_NAME} with a class that has no name or colour")
        found.append({"name": name, "colour": colour})
    return found


def _words(told: object, form: re.Pattern) -> list[str]:
    """Return the words of a text that have a form."""
    words = told.split() if isinstance(told, str) else []
    return [word for word in words if form.fullmatch(word)]


def _metrics(told: object) -> list[Document]:
    if not isinstance(told, dict):
        return []
    figures = ((_text(name, MOST_NAME), _number(value)) for name, value in told.items())
    known = [{"name": name, "value": value} for name, value in figures if value is not None]
    return known[:MOST_METRICS]


def _text(told: object, most: int) -> str:
    # Half of a pair of surrogates is no text that can be kept.
    return told[:most].encode(errors="replace").decode() if isinstance(told, str) else ""


def _number(told: object) -> float | None:
    if isinstance(told, bool) or not isinstance(told, (int, float)):
        return None
    try:
        value = float(told)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")
