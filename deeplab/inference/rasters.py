"""What a segmentation gives beside shapes: a map of labels or objects, a heatmap, next regions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import starmap
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.formats.table import INSTANCES, named
from deeplab.annotations.formats.type_info import NO_TYPE, NO_TYPE_COLOUR
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.raster.rasterize import Values, fill_polygon
from deeplab.annotations.shapes import Layer
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.config.classes import ClassList, Rgb
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.inference.heatmap import HeatmapGrid
from deeplab.inference.likeness import Likeness
from deeplab.inference.next_regions import ConfidenceGrid, next_layer, usual_side
from deeplab.inference.plan import Area
from deeplab.label_map import InstanceRow, InstanceTable, LabelRow, LabelTable, MapPlace
from deeplab.slides.label_tiff import InstanceCanvas, LabelCanvas
from deeplab.slides.slide import Slide


class Rasters:
    """The map, the heatmap and where to annotate next, each only where asked for; to be closed.

    A map is of labels, or of numbered objects where its name says ".instances" before the suffix.
    """

    def __init__(self, request: SegmentRequest, classes: ClassList, frame: WorkFrame) -> None:
        self._classes, self._frame = classes, frame
        self._heat = (
            HeatmapGrid(classes, frame, request.heatmap_um) if request.save_heatmap else None
        )
        self._next_count = request.next_regions
        self._confidence = (
            ConfidenceGrid(frame, request.next_region_um or usual_side(frame.work_mpp))
            if request.next_regions
            else None
        )
        self._canvas: LabelCanvas | None = None
        self._instances: InstanceCanvas | None = None
        if request.output_mask and named(INSTANCES).is_named(request.output_mask):
            self._instances = InstanceCanvas(frame)
        elif request.output_mask:
            self._canvas = LabelCanvas(frame)
        self._has_untyped = False
        self._numbered = bytearray()  # the label of each numbered object

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
        if self._canvas:
            self._has_untyped |= not label
            self._fill(self._canvas.part, polygon, label or self._classes.label_count)

    def number(self, found: Iterable[TracedShape]) -> Iterator[TracedShape]:
        """Pass shapes on; where they are to be numbered, draw each under a number of its own."""
        for shape in found:
            if self._instances:
                self._numbered.append(shape.label)
                self._fill(self._instances.part, shape.polygon, len(self._numbered))
            yield shape

    def _fill(
        self, part: Callable[[WorkBox], Values], polygon: shapely.Polygon, value: int
    ) -> None:
        left, top, right, bottom = shapely.bounds(polygon)
        scale_x, scale_y = self._frame.scale_x, self._frame.scale_y
        x, y = int(left / scale_x), int(top / scale_y)
        box = WorkBox(x, y, int(-(-right // scale_x)) - x, int(-(-bottom // scale_y)) - y)
        box = box.intersection(self._frame.box)
        fill_polygon(
            part(box),
            polygon,
            value,
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

    @property
    def wants_confidence(self) -> bool:
        """Whether regions to annotate next are asked for."""
        return self._confidence is not None

    def add_confidence(self, confidence: NDArray[np.float32], stride: int, box: WorkBox) -> None:
        """Add how sure the model is (rows, columns) at every `stride`-th pixel of `box`."""
        if self._confidence:
            self._confidence.add(confidence, stride, box)

    def next_layers(self, area: Area, likeness: Likeness | None = None) -> tuple[Layer, ...]:
        """Return the layer of regions to annotate next where it is asked for and there are any."""
        if not self._confidence:
            return ()
        regions = self._confidence.choose(self._next_count, area, likeness)
        return (next_layer(regions, self._frame),) if regions else ()

    def save_mask(self, path: Path, slide: Slide) -> None:
        """Write the labels of all pixels, or numbered objects, with names and colours of classes.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        place = asdict(
            MapPlace(
                scale_x=self._frame.scale_x,
                scale_y=self._frame.scale_y,
                width_level0=slide.width_level0,
                height_level0=slide.height_level0,
            )
        )
        if self._instances:
            rows, renumber = self._instance_rows()
            self._instances.save(path, InstanceTable(rows=rows, **place), slide.mpp, renumber)
        if self._canvas:
            table = LabelTable(rows=tuple(starmap(LabelRow, self._looks())), **place)
            self._canvas.save(path, table, slide.mpp)

    def _looks(self) -> Iterator[tuple[int, str, Rgb]]:
        """Value, name and colour of each class, and of objects of no type where there are any."""
        for label, entry in enumerate(self._classes, start=1):
            yield label, entry.name, entry.colour
        if self._has_untyped or 0 in self._numbered:
            yield self._classes.label_count, NO_TYPE, NO_TYPE_COLOUR

    def _instance_rows(self) -> tuple[tuple[InstanceRow, ...], NDArray[np.uint32]]:
        """The numbers of each class, one after the other, and which of these each object has."""
        labels = np.frombuffer(bytes(self._numbered), np.uint8).astype(np.uint16)
        labels[labels == 0] = self._classes.label_count
        renumber = np.zeros(len(labels) + 1, np.uint32)
        renumber[1 + np.argsort(labels, kind="stable")] = np.arange(1, len(labels) + 1)
        rows, last = [], 0
        for label, name, colour in self._looks():
            first, last = last + 1, last + int(np.count_nonzero(labels == label))
            rows.append(InstanceRow(name, colour, first, last))
        return tuple(rows), renumber

    def close(self) -> None:
        """Remove the work files."""
        for canvas in (self._canvas, self._instances):
            if canvas:
                canvas.close()
