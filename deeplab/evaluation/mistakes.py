"""Where prediction and reference differ, as layers that a person sees on the slide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deeplab.annotations.raster.rasterize import Labels
from deeplab.annotations.shapes import Area, Layer, Shape
from deeplab.annotations.trace.outlines import SeamTracer, TracedShape
from deeplab.annotations.trace.simplify import simplify
from deeplab.evaluation.field import Block, Field, classes_in
from deeplab.geometry.frames import Mpp

# Told apart by the colour-blind and on H&E, too (Okabe and Ito 2008): blue and red, light for whole
# objects.
MISSED, FALSE = (0, 114, 178), (213, 94, 0)
MISSED_OBJECT, FALSE_OBJECT = (86, 180, 233), (230, 159, 0)


class AreaErrors:
    """Gathers the areas that were missed or wrongly predicted, block by block.

    Args:
        field: whose blocks are coming.
        width_um: what is narrower is left out, as outlines never agree to the pixel.
    """

    def __init__(self, field: Field, width_um: float) -> None:
        self.reach = reach_of(width_um, field.frame.work_mpp)
        side = 2 * self.reach + 1
        self._disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        self._missed = SeamTracer(field.frame, field.area)
        self._false = SeamTracer(field.frame, field.area)
        self._frame = field.frame

    def add(self, block: Block) -> None:
        """Take the next block in reading order; its margin is twice `reach` at least."""
        wrong = block.truth != block.prediction
        for tracer, labels in ((self._missed, block.truth), (self._false, block.prediction)):
            found = self._wide(np.where(wrong, labels, np.uint8(0)))
            tracer.add(np.ascontiguousarray(found[block.inner]), None, block.core)

    def layers(self, classes: Sequence[str], mpp: Mpp) -> Iterator[Layer]:
        """Two layers for each class, of what was missed of it and what was wrongly taken for it."""
        missed, false = (_by_label(each.finish()) for each in (self._missed, self._false))
        for label, name in enumerate(classes, start=1):
            for words, colour, traced in (("missed", MISSED, missed), ("false", FALSE, false)):
                some = traced.get(label, [])
                shapes = tuple(_area_shapes(some, mpp, self._frame.work_mpp))
                yield Layer(f"{words} {name}", colour, shapes, _areas_said(words, name, shapes))

    def _wide(self, labels: Labels) -> Labels:
        """Return the labels where they are wide enough to be seen."""
        if not self.reach:
            return labels
        kept = np.zeros_like(labels)
        for label in classes_in(labels):
            mask = (labels == label).view(np.uint8)
            kept[cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._disc) > 0] = label
        return kept


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Objects of a class without a partner, level-0 pixels."""

    missed: tuple[Area, ...] = ()
    false: tuple[Area, ...] = ()


def object_layers(name: str, unmatched: Unmatched, mpp: Mpp) -> Iterator[Layer]:
    """Yield the objects of a class without a partner: drawn and not found, found and not drawn."""
    sides = (
        ("missed", MISSED_OBJECT, unmatched.missed, "drawn, and not predicted"),
        ("false", FALSE_OBJECT, unmatched.false, "predicted, and not drawn"),
    )
    for words, colour, polygons, said in sides:
        shapes = tuple(Shape(polygon, _size(polygon, mpp)) for polygon in polygons)
        count = f"{len(shapes)} objects of {name} that were {said}"
        yield Layer(f"{words} {name} objects", colour, shapes, count)


def reach_of(width_um: float, work_mpp: float) -> int:
    """Half of the disc, work pixels, that must fit into an error for it to be shown."""
    return max(0, round((width_um / work_mpp - 1) / 2))


def _by_label(traced: Iterable[TracedShape]) -> dict[int, list[TracedShape]]:
    found: dict[int, list[TracedShape]] = {}
    for shape in traced:
        found.setdefault(shape.label, []).append(shape)
    return found


def _area_shapes(traced: Iterable[TracedShape], mpp: Mpp, work_mpp: float) -> Iterator[Shape]:
    for shape in simplify(traced, work_mpp / 2, mpp):
        yield Shape(shape.polygon, {"area_um2": round(shape.area_px_work * work_mpp**2, 1)})


def _areas_said(words: str, name: str, shapes: Sequence[Shape]) -> str:
    mm2 = sum(float(shape.properties["area_um2"]) for shape in shapes) / 1e6
    said = f"{name} that was drawn and not predicted"
    if words == "false":
        said = f"predicted as {name} where something else or nothing was drawn"
    return f"{said}: {len(shapes)} places, {mm2:.3g} mm²"


def _size(polygon: Area, mpp: Mpp) -> dict[str, float]:
    return {"area_um2": round(polygon.area * mpp.x * mpp.y, 1)}
