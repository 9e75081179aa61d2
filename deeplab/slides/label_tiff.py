"""A label map as large as a slide, kept on disk and written as a tiled TIFF."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from deeplab.errors import OutputError
from deeplab.files import scratch_folder, whole_file
from deeplab.geometry.frames import WorkBox, WorkFrame

TILE = 256  # pixels; what viewers expect of a tiled TIFF
UM_PER_CM = 1e4


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

    def place(self, labels: NDArray[np.uint8], box: WorkBox) -> None:
        """Put the labels of a box where they belong."""
        self._labels[box.within(self._frame.box)] = labels

    def save(self, path: Path) -> None:
        """Write the canvas, 256-pixel tiles under Deflate, with its um per pixel.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        per_cm = UM_PER_CM / self._frame.mpp_work
        with whole_file(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True) as writer:
            writer.write(
                self._labels,
                tile=(TILE, TILE),
                photometric="minisblack",
                compression="deflate",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                metadata=None,
            )

    def close(self) -> None:
        """Remove the work file."""
        del self._labels
        self._stack.close()
