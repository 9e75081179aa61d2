"""The log of a training for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from deeplab.errors import OutputError
from deeplab.files import whole_file
from deeplab.training.history import History, StepNote

COLUMNS = ("step", "loss", "learning_rate", "waiting_share", "validation_score")


class LogFile:
    """A CSV file with a line for some steps each, and one for each validation.

    Args:
        path: of the file.
        history: what is in it from the beginning; older lines are replaced.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, history: History) -> None:
        self._path = path
        with whole_file(path) as temporary, temporary.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            rows.writerows(_rows(history))

    def add(self, history: History) -> None:
        """Add what was noted since.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with self._path.open("a", newline="") as file:
                csv.writer(file).writerows(_rows(history))
        except OSError as error:
            raise OutputError(self._path, error.strerror or str(error)) from error


def _rows(history: History) -> Iterator[list[str]]:
    rows = [(note.step, 0, _of_steps(note)) for note in history.steps]
    rows += [(c.step, 1, [str(c.step), "", "", "", f"{c.score:.6f}"]) for c in history.checks]
    yield from (row for _, _, row in sorted(rows))


def _of_steps(note: StepNote) -> list[str]:
    waited = f"{note.waiting_share:.3f}"
    return [str(note.step), f"{note.loss:.6f}", f"{note.learning_rate:.3e}", waited, ""]
