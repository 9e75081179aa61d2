"""What the table of an evaluation says, read without the engine and without trusting it."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO

from girder.exceptions import GirderException

from girder_deeplab.cards import GIRDER_ID, MOST_CLASSES, MOST_NAME, SHA256, Document, pieces_of

MOST_BYTES = 64 * 2**20
# Figures by which models are compared, as people call them.
FIGURES = {"dice": "Dice", "boundary_f1": "border F1", "pq": "PQ"}
COLUMNS = ("level", "slide", "class", "predicted_as", "metric", "value", "low", "high")
IDENTITY = ("item", "reference", "model")
SLIDE, MEAN, BACKGROUND = "slide", "mean", "background"
REFERENCE = re.compile("[0-9a-f]{16}")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which spreadsheets put first
Slide = tuple[str, str]  # id of its item, and digest of what predictions were held against
Figure = tuple[str, str]  # class and metric


@dataclass(frozen=True)
class Table:
    """The evaluation of a model on slides of this server.

    Attributes:
        model: SHA-256 of its file.
        values: the `FIGURES` of the classes of each slide.
        means: over slides, as people are told them: `class`, `figure`, `value`, `low`, `high`.
    """

    model: str
    values: Mapping[Slide, Mapping[Figure, float]]
    means: list[Document]


def may_be_table(file: Document) -> bool:
    """Return whether a file of Girder is called as tables are."""
    return str(file.get("name", "")).lower().endswith(".csv")


def read_table(file: Document) -> Table | None:
    """Return what a table in Girder says.

    None: it is none, cannot be read, is of slides elsewhere, or not of one model.
    """
    try:
        text = _text_of(file)
        return _table(csv.DictReader(StringIO(text, newline=""))) if text else None
    except (ValueError, csv.Error, OSError, GirderException):
        return None


def _text_of(file: Document) -> str:
    """Return the content of a file that begins as a table does; of any other, however long, ""."""
    found = bytearray()
    for piece in pieces_of(file):
        found += piece
        begins = found.startswith(",".join(COLUMNS).encode(), found.startswith(BYTE_ORDER_MARK) * 3)
        if not begins or len(found) > MOST_BYTES:
            return ""
    return found.decode("utf-8-sig")


def _table(rows: csv.DictReader) -> Table | None:
    if not set(rows.fieldnames or ()) >= {*COLUMNS, *IDENTITY}:
        return None
    values: dict[Slide, dict[Figure, float]] = {}
    means, models = [], set()
    for row in rows:
        is_compared = row["metric"] in FIGURES and not row["predicted_as"]
        if not is_compared or row["class"] in ("", BACKGROUND):
            continue
        figure, value = (row["class"][:MOST_NAME], row["metric"]), _number(row["value"])
        if row["level"] == SLIDE and row["item"] and value is not None:
            slide = _checked(GIRDER_ID, row["item"]), _checked(REFERENCE, row["reference"])
            models.add(row["model"])
            values.setdefault(slide, {})[figure] = value
        elif row["level"] == MEAN:
            bounds = {bound: _number(row[bound]) for bound in ("low", "high")}
            means.append({"class": figure[0], "figure": figure[1], "value": value, **bounds})
    if len(models) != 1:
        return None
    return Table(_checked(SHA256, models.pop()), values, means[: MOST_CLASSES * len(FIGURES)])


def _number(cell: str | None) -> float | None:
    value = float(cell or "nan")
    return value if math.isfinite(value) else None


def _checked(form: re.Pattern, cell: str | None) -> str:
    """Return a cell.

    Raises:
        ValueError: it has not the form.
    """
    if not form.fullmatch(cell or ""):
        raise ValueError(f"{cell} is not what its column says")
    return cell
