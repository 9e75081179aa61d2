"""One CSV table of the objects of all slides and classes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from deeplab.config.features_request import Pixels
from deeplab.features.slide_labels import Cell, SlideLabels
from deeplab.features.slide_measures import SlideMeasures, channels_of, class_names, columns_of
from deeplab.files import whole_file
from deeplab.report.cells import safe_cell

FIRST = ("slide", "class", "object")


def write_objects(
    path: Path, slides: Sequence[SlideMeasures], labels: SlideLabels, *, pixels: Pixels
) -> None:
    """One row an object: slide, class, number of the object in its class, features, labels.

    What was not measured is an empty cell. Text that a spreadsheet would take for a formula has an
    apostrophe before it.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = columns_of(None, class_names(slides), pixels=pixels, channels=channels_of(slides))
    blank = [""] * len(labels.columns)
    with whole_file(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*FIRST, *map(safe_cell, [*columns, *joined(labels, columns)])])
        for slide in slides:
            known = labels.of(slide.name)
            last = [_text(cell) for cell in known] if known else blank
            for name in slide.tables:
                first = [safe_cell(slide.name), safe_cell(name)]
                for number, row in enumerate(slide.rows(name, columns), start=1):
                    rows.writerow([*first, number, *map(_number, row), *last])


def joined(labels: SlideLabels, columns: Iterable[str]) -> list[str]:
    """Return the columns of the slides' labels, told apart from those measured."""
    taken = {*FIRST, *columns}
    return [f"{name} (label)" if name in taken else name for name in labels.columns]


def _number(value: float) -> str:
    return f"{value:.12g}" if math.isfinite(value) else ""


def _text(cell: Cell) -> str:
    return f"{cell:.15g}" if isinstance(cell, float) else safe_cell(cell or "")
