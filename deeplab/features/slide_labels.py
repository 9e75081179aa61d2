"""What a laboratory knows of its slides: a table with a row for each, joined by their names."""

from __future__ import annotations

import csv
import datetime as dt
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import islice
from pathlib import Path

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from deeplab.errors import SourceError
from deeplab.exchange.beside import SLIDES
from deeplab.exchange.labelling import folded

Cell = str | float | None

EXCEL = (".xlsx", ".xlsm")
NAMES = ("slide", "name")  # the column with the slides' names; where neither is there, the first
MOST_BYTES = 256 * 2**20  # unpacked
MOST_ROWS, MOST_COLUMNS = 100_000, 500
# What zipfile, the XML parsers and openpyxl, which does not check what it reads, raise of one.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError,
    SyntaxError, InvalidFileException, LookupError, ValueError, TypeError, AttributeError,
)  # fmt: skip
NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")  # 007 is a name


class SlideLabels:
    """The columns of the table but for that of the names, and the cells of each slide.

    Args:
        columns: names of the columns.
        rows: cells by the names of the slides, `labelling.folded`.
    """

    def __init__(
        self, columns: Sequence[str] = (), rows: Mapping[str, tuple[Cell, ...]] | None = None
    ) -> None:
        self.columns = tuple(columns)
        self._rows = dict(rows or {})
        self._bare: dict[str, tuple[Cell, ...] | None] = {}
        for name, row in self._rows.items():
            # Two slides that differ in no more than their suffix: neither is meant for sure.
            self._bare[_bare(name)] = None if _bare(name) in self._bare else row

    def of(self, slide: str) -> tuple[Cell, ...] | None:
        """The cells of a slide, named with its suffix or without; None where it has no row."""
        name = folded(slide)
        return self._rows.get(name) or self._bare.get(_bare(name))


def read_slide_labels(path: Path) -> SlideLabels:
    """The table in an XLSX file (its first sheet) or a CSV file; its first row names the columns.

    Numbers are numbers, all else is text. Rows without a name are passed over.

    Raises:
        SourceError: the file cannot be read, is too large, or names a slide twice.
    """
    rows = _xlsx_rows(path) if path.suffix.lower() in EXCEL else _csv_rows(path)
    head = [_text(cell) for cell in next(rows, [])]
    if not any(head):
        raise SourceError(f"{path.name} has no row with the names of its columns")
    lower = [name.lower() for name in head]
    place = next((lower.index(name) for name in NAMES if name in lower), 0)
    kept = [n for n, name in enumerate(head) if n != place and name]
    found: dict[str, tuple[Cell, ...]] = {}
    for row in rows:
        cells = [*row, *[None] * (len(head) - len(row))]
        name = folded(_text(cells[place]))
        if not name:
            continue
        if name in found:
            raise SourceError(f"{path.name} has two rows for the slide {name}; keep one of them")
        found[name] = tuple(cells[n] for n in kept)
    return SlideLabels(list(_told_apart([head[n] for n in kept])), found)


def _xlsx_rows(path: Path) -> Iterator[list[Cell]]:
    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as packed:
                if sum(part.file_size for part in packed.infolist()) > MOST_BYTES:
                    raise SourceError(f"{path.name} is larger than a table of slides can be")
            book = load_workbook(file, read_only=True, data_only=True)
            rows = book.worksheets[0].iter_rows(max_col=MOST_COLUMNS, values_only=True)
            yield from _limited(([_cell(value) for value in row] for row in rows), path)
    except DAMAGED as error:
        raise SourceError(f"{path.name} cannot be read as an Excel table (.xlsx)") from error


def _csv_rows(path: Path) -> Iterator[list[Cell]]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SourceError(f"{path.name} is larger than a table of slides can be")
        text = path.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        # Spreadsheets of half of the world write semicolons.
        rows = csv.reader(StringIO(text), delimiter=max(",;\t", key=head.count))
        yield from _limited(([_of_text(cell) for cell in row] for row in rows), path)
    except (UnicodeDecodeError, OSError, csv.Error) as error:
        raise SourceError(f"{path.name} cannot be read as a CSV table in UTF-8") from error


def _limited(rows: Iterable[list[Cell]], path: Path) -> Iterator[list[Cell]]:
    yield from islice(rows, MOST_ROWS)
    if next(iter(rows), None) is not None:
        raise SourceError(f"{path.name} has more than {MOST_ROWS:,} rows")


def _cell(value: object) -> Cell:
    """Return a cell of a spreadsheet."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        value = value.date()
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value).strip() or None


def _of_text(text: str) -> Cell:
    text = text.strip()
    return float(text) if NUMBER.fullmatch(text) else text or None


def _text(cell: Cell) -> str:
    """Return a cell as a name: a slide may be called 1024."""
    return f"{cell:.15g}" if isinstance(cell, float) else cell or ""


def _bare(name: str) -> str:
    """Return a folded name without the suffix of a slide."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix in SLIDES else name


def _told_apart(names: Sequence[str]) -> Iterator[str]:
    taken: set[str] = set()
    for name in names:
        number, free = 1, name
        while free.lower() in taken:
            number += 1
            free = f"{name} ({number})"
        taken.add(free.lower())
        yield free
