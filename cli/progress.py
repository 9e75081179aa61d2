"""Progress as a person at a terminal or as a Slicer server wants to see it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO
from xml.sax.saxutils import escape

from deeplab.config.progress import Progress

INTERVAL_S = 0.5


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Progress]:
    """Progress drawn on a terminal, or as tags where `stream` (standard output) is none."""
    stream = stream or sys.stdout
    if stream.isatty():
        with _drawn() as draw:
            yield draw
        return
    tags = SlicerTags(stream)
    yield tags
    # Not in a finally: a stage that was cut short has not ended.
    tags.close()


@contextmanager
def _drawn() -> Iterator[Progress]:
    """A bar a stage, on standard error, with the time left."""
    # rich takes a tenth of a second to load, which --help need not wait for.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def draw(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield draw


class SlicerTags:
    """Writes progress as the tags of the Slicer Execution Model, at most two a second.

    slicer_cli_web shows the last comment beside the bar, so it holds the stage and the time left.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._stage: str | None = None
        self._began_s = self._written_s = 0.0
        self._is_full = False

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Write where `stage` is, unless that was just done."""
        now_s = self._clock()
        if stage != self._stage:
            self.close()
            self._stage, self._began_s, self._is_full = stage, now_s, False
            name = escape(stage)
            self._write(
                "<filter-start>\n"
                f"<filter-name>{name}</filter-name>\n<filter-comment>{name}</filter-comment>\n"
                "</filter-start>"
            )
        elif self._is_full or (done < total and now_s - self._written_s < INTERVAL_S):
            return
        self._is_full = 0 < total <= done
        self._written_s = now_s
        share = min(done / total, 1.0) if total > 0 else 0.0
        comment = escape(_comment(stage, done, total, now_s - self._began_s))
        self._write(
            f"<filter-comment>{comment}</filter-comment>\n"
            f"<filter-progress>{share:.4f}</filter-progress>"
        )

    def close(self) -> None:
        """Write the end of the stage that runs, if one does."""
        if self._stage is not None:
            took_s = self._clock() - self._began_s
            self._write(
                f"<filter-end>\n<filter-name>{escape(self._stage)}</filter-name>\n"
                f"<filter-time>{took_s:.1f}</filter-time>\n</filter-end>"
            )
            self._stage = None

    def _write(self, text: str) -> None:
        # One write a message: the server reads tags from the pieces it happens to get.
        self._stream.write(text + "\n")
        self._stream.flush()


def _comment(stage: str, done: int, total: int, elapsed_s: float) -> str:
    if total <= 0:
        return stage
    text = f"{stage}: {done} of {total}"
    if 0 < done < total:
        text += f", {_duration(elapsed_s / done * (total - done))} left"
    return text


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
