"""A label map as large as a slide, put together on disk."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from deeplab.errors import OutputError
from deeplab.files import scratch_folder
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.label_map import Labels, LabelTable, write_label_map


class LabelCanvas:
    """Labels of a whole slide in the work frame, 0 where nothing was placed.

    The canvas is a sparse file that the system pages in and out, so it takes disk, not memory.

    Raises:
        OutputError: there is no room for it.
    """

    def __init__(self, frame: WorkFrame) -> None:
        self._frame = frame
        self._stack = ExitStack()
        folder = self._stack.enter_context(scratch_folder())
        try:
            self._labels = np.memmap(
                folder / "labels", np.uint8, mode="w+", shape=(frame.height, frame.width)
            )
        except OSError as error:
            self._stack.close()
            raise OutputError(folder, error.strerror or str(error)) from error

    def place(self, labels: Labels, box: WorkBox) -> None:
        """Put the labels of a box where they belong."""
        self._labels[box.within(self._frame.box)] = labels

    def part(self, box: WorkBox) -> Labels:
        """The labels of a box (box.height, box.width), to be drawn into."""
        part: Labels = self._labels[box.within(self._frame.box)]
        return part

    def save(self, path: Path, table: LabelTable, mpp_level0: Mpp) -> None:
        """Write the canvas as a label map with smaller levels.

        Args:
            path: where to.
            table: what the labels stand for.
            mpp_level0: the slide's um per level-0 pixel.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        frame = self._frame
        write_label_map(
            path,
            self._picked,
            width=frame.width,
            height=frame.height,
            mpp=Mpp(mpp_level0.x * frame.scale_x, mpp_level0.y * frame.scale_y),
            table=table,
        )

    def _picked(self, box: WorkBox, level: int) -> Labels:
        """The labels in the middles of the pixels of a level, uint8 (box.height, box.width)."""
        rows, columns = (
            np.minimum(np.arange(first, end) * 2**level + 2**level // 2, side - 1)
            for first, end, side in (
                (box.y, box.bottom, self._frame.height),
                (box.x, box.right, self._frame.width),
            )
        )
        picked: Labels = self._labels[np.ix_(rows, columns)]
        return picked

    def close(self) -> None:
        """Remove the work file."""
        del self._labels
        self._stack.close()
