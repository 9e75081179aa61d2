"""Objects of tiles, each once and whole, whichever tiles have seen it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.shapes import Shape
from deeplab.annotations.store import Spilled
from deeplab.annotations.trace.outlines import TracedShape, trace_instances
from deeplab.files import scratch_folder
from deeplab.geometry.frames import WorkBox
from deeplab.geometry.grid import TileSlot
from deeplab.inference.collectors.seams import (
    BAND,
    NO_SIDE,
    Sides,
    Version,
    part_settled,
    seam_depth,
    sides_of,
)
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from deeplab.models.answers import ObjectAnswer

log = logging.getLogger(__name__)


class ObjectCollector:
    """Keeps an object for the tile whose write box holds its centre.

    Objects near a seam are held until the tiles beyond it have come, and versions of one object are
    matched. So at most about two rows of tiles are in memory; what is settled goes to a file.

    An object at the border of what its tile answers is cut, unless the slide ends there. One that
    no tile has whole is joined of what several have of it, so it is whole whatever its size; it is
    left out, and counted, where these do not show all of it, as at the border of a region.

    Args:
        area: what the tiles cover together; objects whose centre lies in it count, whole.
        rasters: get the objects, too.
        logit_stride: work pixels from one place that is looked at for a heatmap to the next.
    """

    def __init__(self, area: Area, rasters: Rasters, logit_stride: int) -> None:
        self._area = area
        self._rasters, self._stride = rasters, logit_stride
        self._row, self._tiles = area.box.y, 0
        self._open: list[Version] = []
        self._lost = 0
        self._stack = ExitStack()
        self._settled = Spilled[Shape](Shape, self._stack.enter_context(scratch_folder()))

    def add(self, slot: TileSlot, answer: ObjectAnswer | None) -> None:
        """Take the next tile; no answer: nothing is there."""
        if slot.write.y != self._row:
            self._settle(next_top=slot.answer.y)
            self._row = slot.write.y
        self._tiles += 1
        if answer is None:
            return
        self._open.extend(self._versions(slot, answer))
        part = answer.instances[slot.write.within(slot.answer)][:: self._stride, :: self._stride]
        if self._rasters.wants_heat:
            self._rasters.add_heat(self._probabilities(answer)[part], self._stride, slot.write)
        if self._rasters.wants_confidence:
            self._rasters.add_confidence(_confidences(answer)[part], self._stride, slot.write)

    def found(self) -> Iterator[TracedShape]:
        """Return the objects, those of the upper rows of tiles first."""
        self._settle(next_top=None)
        if self._lost:
            log.warning(
                "%d objects are larger than the halo and no tiles together show all of them, so "
                "they were left out; a larger region or halo would show them",
                self._lost,
            )
        return map(self._restore, self._settled.whole())

    def close(self) -> None:
        """Remove the work files."""
        self._stack.close()

    def _versions(self, slot: TileSlot, answer: ObjectAnswer) -> Iterator[Version]:
        """Yield the objects of a tile that are its own, or nearly so, and parts of large ones.

        Large are those that reach from the write box to the border of what the tile sees, or as
        far: other tiles may need them to tell what the object is.
        """
        from scipy.ndimage import find_objects  # noqa: PLC0415  0.1 s, and only objects need it

        frame = self._area.frame
        visible = slot.answer.intersection(frame.box)
        instances = answer.instances[visible.within(slot.answer)]
        boxes = find_objects(instances, len(answer.labels))
        x, y = _centres(instances, len(boxes), visible)
        write = slot.write
        is_owned = (write.x <= x) & (x < write.right) & (write.y <= y) & (y < write.bottom)
        depth = seam_depth(x, y, write, self._area.box)
        cut = [_cut_sides(each, visible, frame.box) for each in boxes]
        near = (depth >= -BAND) & self._area.holds(x, y)
        large = np.array([_is_large(each, slot, visible) for each in boxes], np.bool_)
        is_cut = np.array([sides != NO_SIDE for sides in cut], np.bool_)
        chosen = np.flatnonzero(np.where(is_cut, large, large | near))
        renumbered = np.zeros(len(boxes) + 1, np.int32)
        renumbered[chosen + 1] = np.arange(1, len(chosen) + 1)
        polygons = trace_instances(renumbered[instances], visible, frame)
        for index, polygon in zip(chosen.tolist(), polygons, strict=True):
            probability = answer.label_probability
            yield Version(
                shape=TracedShape(
                    label=int(answer.labels[index]),
                    polygon=polygon,
                    area_px_work=round(polygon.area / (frame.scale_x * frame.scale_y)),
                    confidence=float(answer.confidence[index]),
                    label_probability=None if probability is None else float(probability[index]),
                ),
                centre=(float(x[index]), float(y[index])),
                bottom=visible.y + boxes[index][0].stop,
                tile=self._tiles,
                write=write,
                sees=sides_of(visible),
                cut=cut[index],
                is_owned=bool(is_owned[index]),
                is_near=bool(near[index]),
                depth=float(depth[index]),
            )

    def _settle(self, next_top: int | None) -> None:
        settled, self._open, lost = part_settled(self._open, next_top, self._area.frame)
        self._lost += lost
        for version in settled:
            shape = version.shape
            if not (version.is_near or self._holds(version)):
                continue
            properties: dict[str, float] = {"label": shape.label}
            for name in ("confidence", "label_probability"):
                if (value := getattr(shape, name)) is not None:
                    properties[name] = value
            self._settled.append(Shape(shape.polygon, properties))
            self._rasters.draw(shape.polygon, shape.label)

    def _holds(self, version: Version) -> bool:
        x, y = (np.array([place]) for place in version.centre)
        return bool(self._area.holds(x, y).all())

    def _restore(self, kept: Shape) -> TracedShape:
        frame, told = self._area.frame, kept.properties
        probability = told.get("label_probability")
        return TracedShape(
            label=int(told["label"]),
            polygon=kept.parts[0],
            area_px_work=round(kept.polygon.area / (frame.scale_x * frame.scale_y)),
            confidence=float(told["confidence"]),
            label_probability=None if probability is None else float(probability),
        )

    def _probabilities(self, answer: ObjectAnswer) -> NDArray[np.float32]:
        """The probability of each label on background and each object, (objects + 1, labels)."""
        count = len(answer.labels)
        table = np.zeros((count + 1, self._rasters.label_count), np.float32)
        sure = answer.confidence
        if answer.label_probability is not None:
            sure = sure * answer.label_probability
        typed = answer.labels > 0
        table[1:][np.flatnonzero(typed), answer.labels[typed]] = sure[typed]
        table[:, 0] = 1 - table.sum(axis=1)
        return table


def _confidences(answer: ObjectAnswer) -> NDArray[np.float32]:
    """Return how sure the background, taken as it is, and each object are, (objects + 1,)."""
    sure = answer.confidence
    if answer.label_probability is not None:
        sure = sure * np.where(answer.labels > 0, answer.label_probability, np.float32(1))
    return np.concatenate([np.ones(1, np.float32), sure])


def _centres(
    instances: NDArray[np.int32], count: int, box: WorkBox
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y (count,) of the centres of the objects of `box`; NaN without a pixel."""
    rows, columns = np.nonzero(instances)
    of = instances[rows, columns]
    pixels = np.bincount(of, minlength=count + 1)[1:]
    # Sums of whole numbers: every tile finds the very same centre of the same pixels.
    x, y = (
        np.bincount(of, places + origin, count + 1)[1:]
        for places, origin in ((columns, box.x), (rows, box.y))
    )
    with np.errstate(invalid="ignore"):
        return x / pixels + 0.5, y / pixels + 0.5


def _cut_sides(place: tuple[slice, slice] | None, visible: WorkBox, slide: WorkBox) -> Sides:
    """Return the sides of what is seen at which an object is cut, as the slide goes on there."""
    if place is None:
        return NO_SIDE
    rows, columns = place
    touches = (
        columns.start == 0 and visible.x > slide.x,
        rows.start == 0 and visible.y > slide.y,
        columns.stop == visible.width and visible.right < slide.right,
        rows.stop == visible.height and visible.bottom < slide.bottom,
    )
    left, top, right, bottom = (
        side if is_cut else -np.inf for side, is_cut in zip(sides_of(visible), touches, strict=True)
    )
    return left, top, right, bottom


def _is_large(place: tuple[slice, slice] | None, slot: TileSlot, visible: WorkBox) -> bool:
    """Return whether an object of the write box reaches as far as the tile sees beyond that."""
    if place is None:
        return False
    rows, columns = place
    box = WorkBox(
        visible.x + columns.start,
        visible.y + rows.start,
        columns.stop - columns.start,
        rows.stop - rows.start,
    )
    lead = min(a - b for a, b in zip(sides_of(slot.answer), sides_of(slot.write), strict=True))
    return max(box.width, box.height) >= lead and not box.intersection(slot.write).is_empty
