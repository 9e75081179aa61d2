"""What a segmentation gives beside shapes where it is asked for: a map of labels, a heatmap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.rasterize import fill_polygon
from deeplab.annotations.type_info import NO_TYPE, NO_TYPE_COLOUR
from deeplab.config.classes import ClassList
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.inference.heatmap import HeatmapGrid
from deeplab.label_map import LabelRow, LabelTable
from deeplab.slides.label_tiff import LabelCanvas
from deeplab.slides.slide import Slide


class Rasters:
    """The map of labels and the heatmap, each only where it is asked for; to be closed."""

    def __init__(self, request: SegmentRequest, classes: ClassList, frame: WorkFrame) -> None:
        self._classes, self._frame = classes, frame
        self._heat = (
            HeatmapGrid(classes, frame, request.heatmap_um) if request.save_heatmap else None
        )
        self._canvas = LabelCanvas(frame) if request.output_mask else None
        self._has_untyped = False

    @property
    def label_count(self) -> int:
        """Number of labels of a heatmap, the background included."""
        return self._classes.label_count

    @property
    def wants_heat(self) -> bool:
        """Whether a heatmap is asked for."""
        return self._heat is not None

    def place(self, labels: NDArray[np.uint8], box: WorkBox) -> None:
        """Put labels uint8 (box.height, box.width) into the map."""
        if self._canvas:
            self._canvas.place(labels, box)

    def draw(self, polygon: shapely.Polygon, label: int) -> None:
        """Draw a polygon, level-0 pixels, into the map; label 0 is an object of no type."""
        if self._canvas is None:
            return
        self._has_untyped |= not label
        left, top, right, bottom = shapely.bounds(polygon)
        scale_x, scale_y = self._frame.scale_x, self._frame.scale_y
        x, y = int(left / scale_x), int(top / scale_y)
        box = WorkBox(x, y, int(-(-right // scale_x)) - x, int(-(-bottom // scale_y)) - y)
        box = box.intersection(self._frame.box)
        fill_polygon(
            self._canvas.part(box),
            polygon,
            label or self._classes.label_count,
            x_origin=box.x,
            y_origin=box.y,
            scale_x=scale_x,
            scale_y=scale_y,
        )

    def add_heat(self, probabilities: NDArray[np.float32], stride: int, box: WorkBox) -> None:
        """Add the probabilities (rows, columns, labels) at every `stride`-th pixel of `box`."""
        if self._heat:
            self._heat.add(probabilities, stride, box)

    def heatmaps(self) -> list[Heatmap]:
        """Return one heatmap a class where they are asked for."""
        return self._heat.heatmaps() if self._heat else []

    def save_mask(self, path: Path, slide: Slide) -> None:
        """Write the labels of all pixels with the names and colours of the classes.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        if self._canvas is None:
            return
        rows = [
            LabelRow(label, entry.name, entry.colour)
            for label, entry in enumerate(self._classes, start=1)
        ]
        if self._has_untyped:
            rows.append(LabelRow(self._classes.label_count, NO_TYPE, NO_TYPE_COLOUR))
        table = LabelTable(
            rows=tuple(rows),
            scale_x=self._frame.scale_x,
            scale_y=self._frame.scale_y,
            width_level0=slide.width_level0,
            height_level0=slide.height_level0,
        )
        self._canvas.save(path, table, slide.mpp)

    def close(self) -> None:
        """Remove the work files."""
        if self._canvas:
            self._canvas.close()
