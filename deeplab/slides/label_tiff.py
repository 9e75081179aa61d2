"""A map of labels or of numbered objects as large as a slide, put together on disk."""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.errors import OutputError
from deeplab.files import scratch_folder
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.label_map import (
    InstanceTable,
    Labels,
    LabelTable,
    Values,
    write_instance_map,
    write_label_map,
)

HELD_BYTES = 128 * 2**20  # of a canvas that were touched; then its pages are handed back


class _Canvas:
    """Values of a whole slide in the work frame, 0 where nothing was placed.

    The canvas is a sparse file that the system pages in and out, so it takes disk, not memory.
    Pages that were written count as the process's memory until it hands them back, which it does
    every so many bytes: what was written stays, in the system's cache or on the disk. Rows are
    read from the file, since the system may map two megabytes about a value that is looked at.

    Raises:
        OutputError: there is no room for it.
    """

    def __init__(self, frame: WorkFrame, kind: type[np.unsignedinteger[Any]]) -> None:
        self._frame = frame
        self._stack = ExitStack()
        folder = self._stack.enter_context(scratch_folder())
        try:
            size_bytes = frame.height * frame.width * np.dtype(kind).itemsize
            self._file = self._stack.enter_context((folder / "values").open("w+b", buffering=0))
            self._file.truncate(size_bytes)
            self._pages = mmap.mmap(self._file.fileno(), size_bytes)
        except OSError as error:
            self._stack.close()
            raise OutputError(folder, error.strerror or str(error)) from error
        self._values: Values = np.frombuffer(self._pages, kind).reshape(frame.height, frame.width)
        self._touched_bytes = 0

    def part(self, box: WorkBox) -> Values:
        """Return the values of a box (box.height, box.width), to be drawn into."""
        self._touch(box.height, box.width)
        part: Values = self._values[box.within(self._frame.box)]
        return part

    def close(self) -> None:
        """Remove the work file."""
        del self._values, self._pages
        self._stack.close()

    def _touch(self, rows: int, columns: int) -> None:
        """Count pages that are about to be touched; hand back those before where they are many."""
        if self._touched_bytes > HELD_BYTES:
            # Of a shared mapping of a file nothing is lost: the next touch finds it in the file.
            self._pages.madvise(mmap.MADV_DONTNEED)
            self._touched_bytes = 0
        row_bytes = columns * self._values.itemsize
        self._touched_bytes += rows * (row_bytes // mmap.PAGESIZE + 1) * mmap.PAGESIZE

    def _picked(self, box: WorkBox, level: int) -> Values:
        """Return the values in the middles of the pixels of a level (box.height, box.width)."""
        rows, columns = (
            np.minimum(np.arange(first, end) * 2**level + 2**level // 2, side - 1)
            for first, end, side in (
                (box.y, box.bottom, self._frame.height),
                (box.x, box.right, self._frame.width),
            )
        )
        row_bytes = self._frame.width * self._values.itemsize
        picked: Values = np.empty((len(rows), len(columns)), self._values.dtype)
        for index, row in enumerate(rows):
            content = os.pread(self._file.fileno(), row_bytes, int(row) * row_bytes)
            picked[index] = np.frombuffer(content, picked.dtype)[columns]
        return picked

    def _mpp(self, mpp_level0: Mpp) -> Mpp:
        return Mpp(mpp_level0.x * self._frame.scale_x, mpp_level0.y * self._frame.scale_y)


class LabelCanvas(_Canvas):
    """Labels uint8 of a whole slide in the work frame, 0 where nothing was placed.

    Raises:
        OutputError: there is no room for it.
    """

    def __init__(self, frame: WorkFrame) -> None:
        super().__init__(frame, np.uint8)

    def place(self, labels: Labels, box: WorkBox) -> None:
        """Put the labels of a box where they belong."""
        self.part(box)[...] = labels

    def save(self, path: Path, table: LabelTable, mpp_level0: Mpp) -> None:
        """Write the canvas as a label map with smaller levels.

        Args:
            path: where to.
            table: what the labels stand for.
            mpp_level0: the slide's um per level-0 pixel.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        write_label_map(
            path,
            self._picked,
            width=self._frame.width,
            height=self._frame.height,
            mpp=self._mpp(mpp_level0),
            table=table,
        )


class InstanceCanvas(_Canvas):
    """Numbers of objects, uint32, of a whole slide in the work frame, 0 where there is none.

    Raises:
        OutputError: there is no room for it.
    """

    def __init__(self, frame: WorkFrame) -> None:
        super().__init__(frame, np.uint32)

    def save(
        self, path: Path, table: InstanceTable, mpp_level0: Mpp, renumber: NDArray[np.uint32]
    ) -> None:
        """Write the canvas as a map of numbered objects with smaller levels.

        Args:
            path: where to.
            table: which numbers are of which class.
            mpp_level0: the slide's um per level-0 pixel.
            renumber: uint32 (objects + 1,), the number to be written for each that was drawn.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        write_instance_map(
            path,
            lambda box, level: renumber[self._picked(box, level)],
            width=self._frame.width,
            height=self._frame.height,
            mpp=self._mpp(mpp_level0),
            table=table,
        )
