"""Both sides of one slide drawn over each other, block by block: memory does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Labels, ShapeIndex
from deeplab.annotations.shapes import Annotations, Area, Layer, Shape
from deeplab.config.classes import IGNORE
from deeplab.errors import SlideError
from deeplab.exchange.labelling import Labelling
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame

BLOCK = 2048  # side, work pixels
MOST_PIXELS = 10**11  # work pixels; a slide of 15 x 15 cm at 0.5 um has 9e10
REGION = "region"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A piece of a slide with a margin about it.

    Attributes:
        core: the work pixels that belong to this block alone.
        outer: with the margin.
        truth: labels of `outer`; 0 where is not judged.
        prediction: likewise.
        judged: where in `outer` is judged.
    """

    core: WorkBox
    outer: WorkBox
    truth: Labels
    prediction: Labels
    judged: NDArray[np.bool_]

    @property
    def inner(self) -> tuple[slice, slice]:
        """The core as rows and columns of the block's arrays."""
        return self.core.within(self.outer)


class Field:
    """Where and what is compared on one slide.

    Args:
        name: of the slide, for sentences.
        frame: its work frame.
        truth: layers under the names of what they mean.
        prediction: likewise.
        rules: classes in the order in which they are drawn, and what is ignored.
        regions: polygons in level-0 pixels within which is judged; None: everywhere.

    Raises:
        SlideError: the area is larger than any slide, or the regions lie beyond it.
    """

    def __init__(
        self,
        name: str,
        frame: WorkFrame,
        truth: Annotations,
        prediction: Annotations,
        rules: Labelling,
        regions: Sequence[Area] | None = None,
    ) -> None:
        if frame.width * frame.height > MOST_PIXELS:
            raise SlideError(
                name,
                f"has {frame.width} x {frame.height} pixels of {frame.work_mpp:.3g} um, more than a"
                " slide can have; something is drawn far off it, or work_mpp is too fine",
            )
        self.frame, self.area = frame, _area(name, frame, regions)
        classes = {
            label: value for label, value in rules.values.items() if value not in (0, IGNORE)
        }
        ignored = [label for label, value in rules.values.items() if value == IGNORE]
        self._truth, self._prediction = ShapeIndex(truth, classes), ShapeIndex(prediction, classes)
        drawn = any(layer.name in ignored and layer.shapes for layer in truth.layers)
        self._ignored = ShapeIndex(truth, dict.fromkeys(ignored, 1)) if drawn else None
        self._regions = None if regions is None else _index(regions)

    def blocks(self, margin: int, side: int = BLOCK) -> Iterator[Block]:
        """Yield all blocks in reading order, each with a margin of so many work pixels about it."""
        for y in range(self.area.y, self.area.bottom, side):
            for x in range(self.area.x, self.area.right, side):
                core = WorkBox(x, y, side, side).intersection(self.area)
                yield self._block(core, margin)

    def block_count(self, side: int = BLOCK) -> int:
        """Return how many blocks there are."""
        return -(-self.area.width // side) * -(-self.area.height // side)

    def _block(self, core: WorkBox, margin: int) -> Block:
        outer = WorkBox(
            core.x - margin, core.y - margin, core.width + 2 * margin, core.height + 2 * margin
        )
        truth, prediction = (
            index.draw(outer, self.frame) for index in (self._truth, self._prediction)
        )
        judged = np.zeros(truth.shape, bool)
        judged[outer.intersection(self.area).within(outer)] = True
        if self._ignored:
            judged &= self._ignored.draw(outer, self.frame) == 0
        if self._regions:
            judged &= self._regions.draw(outer, self.frame) > 0
        truth *= judged
        prediction *= judged
        return Block(core=core, outer=outer, truth=truth, prediction=prediction, judged=judged)


def classes_in(labels: Labels) -> list[int]:
    """Return the labels from 1 on that are in a map."""
    # Some times faster than NumPy's own counting of bytes.
    counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256]).ravel()
    return [int(label) for label in np.flatnonzero(counts) if label]


def _area(name: str, frame: WorkFrame, regions: Sequence[Area] | None) -> WorkBox:
    """Return the work pixels that hold all regions on the slide."""
    if regions is None:
        return frame.box
    whole = shapely.GeometryCollection(list(regions))  # none where those asked for do not meet
    left, top, right, bottom = shapely.total_bounds(whole).tolist()
    area = WorkBox(0, 0, 0, 0)
    if right > left and bottom > top:
        area = frame.to_work(Level0Box(left, top, right - left, bottom - top)).intersection(
            frame.box
        )
    if area.is_empty:
        raise SlideError(name, "has no region to judge in: those given lie beyond it or are empty")
    return area


def _index(polygons: Sequence[Area]) -> ShapeIndex:
    shapes = tuple(Shape(polygon) for polygon in polygons)
    return ShapeIndex(Annotations((Layer(REGION, (0, 0, 0), shapes),)), {REGION: 1})
