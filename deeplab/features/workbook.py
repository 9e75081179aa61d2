"""An Excel workbook of the objects: a sheet of the slides and one of each class."""

from __future__ import annotations

import gc
import math
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from lxml.etree import SerialisationError
from openpyxl import Workbook
from openpyxl.cell import Cell, WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from deeplab.config.features_request import Pixels
from deeplab.errors import OutputError
from deeplab.features.csv_table import joined
from deeplab.features.slide_labels import SlideLabels
from deeplab.features.slide_measures import SlideMeasures, channels_of, class_names, columns_of
from deeplab.features.slide_summary import ClassSummary
from deeplab.files import reason_of, scratch_folder, whole_file
from deeplab.report.cells import STARTS_FORMULA

MAX_ROWS = 1_048_576  # of a sheet, as Excel has it
MAX_TEXT = 32_767  # letters in a cell
MAX_NAME = 31  # letters of the name of a sheet
FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f\x7f]")
SLIDES = "slides"
RESERVED = (SLIDES, "history")  # the second is Excel's own
FIRST = ("slide", "object")
SUMMARY = tuple(each.name for each in fields(ClassSummary) if each.name != "class_name")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a class: the objects from `first` up to `end`, counted over all slides."""

    name: str
    class_name: str
    first: int
    end: int


def sheets_of(slides: Sequence[SlideMeasures]) -> list[Sheet]:
    """The sheets of the classes; more than one of a class that has more objects than rows."""
    most = MAX_ROWS - 1  # the names of the columns
    parts = [
        (name, first, min(first + most, count))
        for name in class_names(slides)
        for count in [sum(slide.count(name) for slide in slides)]
        for first in range(0, max(count, 1), most)
    ]
    titles = sheet_names([name for name, _, _ in parts])
    return [Sheet(title, *part) for title, part in zip(titles, parts, strict=True)]


def sheet_names(names: Iterable[str]) -> Iterator[str]:
    """Yield names that Excel takes, all different, in small and capital letters too."""
    taken = set(RESERVED)
    for name in names:
        clean = FORBIDDEN.sub("_", name)[:MAX_NAME].strip(" '") or "class"
        number, free = 1, clean
        while free.casefold() in taken:
            number += 1
            end = f" ({number})"
            free = clean[: MAX_NAME - len(end)] + end
        taken.add(free.casefold())
        yield free


def write_workbook(
    path: Path, slides: Sequence[SlideMeasures], labels: SlideLabels, *, pixels: Pixels
) -> None:
    """Write the workbook row by row; what was not measured is an empty cell, text never a formula.

    Raises:
        OutputError: the file cannot be written.
    """
    # A sheet is written to a file of its own before all go into the workbook.
    with whole_file(path) as draft, scratch_folder() as folder, _temporary_files_in(folder):
        problem = _save(draft, lambda: _book(slides, labels, pixels))
        if problem:
            raise OutputError(path, problem)


def _save(draft: Path, make: Callable[[], Workbook]) -> str:
    """Write a workbook and return why it cannot be written; "": it is.

    openpyxl's generators raise the same again when they are thrown away, where Python can only
    print it: they are thrown away in here.
    """
    hook, problem = sys.unraisablehook, ""
    sys.unraisablehook = lambda _: None
    try:
        try:
            make().save(draft)
        except (SerialisationError, OSError) as error:
            problem = reason_of(error)
        if problem:
            gc.collect()
    finally:
        sys.unraisablehook = hook
    return problem


def _book(slides: Sequence[SlideMeasures], labels: SlideLabels, pixels: Pixels) -> Workbook:
    book = Workbook(write_only=True)
    book.properties.creator = "histomics-deeplab"
    _write_slides(book.create_sheet(SLIDES), slides, labels)
    classes = class_names(slides)
    for sheet in sheets_of(slides):
        columns = columns_of(sheet.class_name, classes, pixels=pixels, channels=channels_of(slides))
        rows = _Rows(book.create_sheet(sheet.name))
        rows.head([*FIRST, *columns, *joined(labels, columns)], frozen=len(FIRST))
        _write_objects(rows, sheet, slides, labels, columns)
    return book


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let those of openpyxl, which cannot be told where they belong, go with the folder."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


class _Rows:
    """The rows of a sheet, in which text stays text."""

    def __init__(self, sheet: WriteOnlyWorksheet) -> None:
        self._sheet = sheet

    def head(self, names: Sequence[str], *, frozen: int) -> None:
        """The names of the columns, which stay in sight with the first `frozen` columns."""
        self._sheet.freeze_panes = f"{get_column_letter(frozen + 1)}2"
        for place, name in enumerate(names, start=1):
            width = 28 if place == 1 else min(max(len(name) + 2, 10), 40)
            letter = get_column_letter(place)
            self._sheet.column_dimensions[letter].width = width  # type: ignore[attr-defined]
        cells = [self._cell(name) for name in names]
        for cell in cells:
            if isinstance(cell, Cell):
                cell.font = Font(bold=True)
        self._sheet.append(cells)

    def add(self, values: Iterable[str | float | None]) -> None:
        """One row."""
        self._sheet.append([self._cell(value) for value in values])

    def _cell(self, value: str | float | None) -> object:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if not isinstance(value, str):
            return value
        cell = WriteOnlyCell(self._sheet, ILLEGAL_CHARACTERS_RE.sub(" ", value)[:MAX_TEXT])
        cell.data_type = "s"  # not a formula, nor an error such as #N/A
        cell.quotePrefix = value.startswith(STARTS_FORMULA)
        return cell


def _write_slides(
    sheet: WriteOnlyWorksheet, slides: Sequence[SlideMeasures], labels: SlideLabels
) -> None:
    rows = _Rows(sheet)
    names = ["slide", "class", *SUMMARY]
    rows.head([*names, *joined(labels, names)], frozen=2)
    for slide in slides:
        known = labels.of(slide.name) or ()
        for summary in slide.summaries:
            values = [getattr(summary, name) for name in SUMMARY]
            rows.add([slide.name, summary.class_name, *values, *known])


def _write_objects(
    rows: _Rows,
    sheet: Sheet,
    slides: Sequence[SlideMeasures],
    labels: SlideLabels,
    columns: Sequence[str],
) -> None:
    before = 0
    for slide in slides:
        count = slide.count(sheet.class_name)
        if before < sheet.end and before + count > sheet.first:
            known = labels.of(slide.name) or ()
            some = enumerate(slide.rows(sheet.class_name, columns), start=1)
            for number, row in some:
                if sheet.first < before + number <= sheet.end:
                    rows.add([slide.name, number, *row, *known])
        before += count
