"""Clean traced objects by their size: drop the small, fill small holes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import shapely

from deeplab.annotations.trace.outlines import TracedShape
from deeplab.geometry.frames import WorkFrame


def area_um2(shape: TracedShape, frame: WorkFrame) -> float:
    """Return what the pixels of a shape cover, um2."""
    return shape.area_px_work * frame.work_mpp**2


def drop_small(
    shapes: Iterable[TracedShape], min_area_um2: float, frame: WorkFrame
) -> Iterator[TracedShape]:
    """Return the shapes of at least `min_area_um2`."""
    return (shape for shape in shapes if area_um2(shape, frame) >= min_area_um2)


def fill_holes(
    shapes: Iterable[TracedShape], max_area_um2: float, frame: WorkFrame
) -> Iterator[TracedShape]:
    """Yield the shapes without their holes of up to `max_area_um2`.

    An object that lies in such a hole stays, and is then over the shape that had it.
    """
    for shape in shapes:
        outside, holes = shape.polygon.exterior, shape.polygon.interiors
        areas = [shapely.Polygon(hole).area for hole in holes]
        kept = [
            hole
            for hole, area in zip(holes, areas, strict=True)
            if area * frame.um2_per_level0_pixel > max_area_um2
        ]
        if len(kept) == len(holes):
            yield shape
            continue
        polygon = shapely.Polygon(outside, kept)
        filled = (polygon.area - shape.polygon.area) / (frame.scale_x * frame.scale_y)
        yield replace(
            shape, polygon=polygon, area_px_work=shape.area_px_work + round(float(filled))
        )
