"""Fewer corners, with a bound in um on how far an outline may move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import shapely

from deeplab.annotations.trace.outlines import TracedShape
from deeplab.errors import ConfigError
from deeplab.geometry.frames import Mpp

CHUNK = 2048  # shapes at a time


def simplify(shapes: Iterable[TracedShape], tolerance_um: float, mpp: Mpp) -> Iterator[TracedShape]:
    """Yield the shapes with fewer corners; outlines move by at most `tolerance_um`.

    Holes stay holes and polygons valid. `area_px_work` remains the count of pixels.

    Args:
        shapes: in level-0 pixels.
        tolerance_um: Hausdorff distance allowed, um; 0 leaves the shapes as they are.
        mpp: the slide's um per level-0 pixel.

    Raises:
        ConfigError: the tolerance is below 0.
    """
    if not tolerance_um >= 0:
        raise ConfigError("simplify tolerance", tolerance_um, "0 um or more")
    tolerance_level0 = tolerance_um / max(mpp.x, mpp.y)
    source = iter(shapes)
    while batch := list(islice(source, CHUNK)):
        polygons = np.array([shape.polygon for shape in batch])
        if tolerance_level0 > 0:
            simple = shapely.simplify(polygons, tolerance_level0, preserve_topology=True)
            # Rings that touch in a vertex may come to cross; such a polygon stays as it was.
            polygons = np.where(shapely.is_valid(simple), simple, polygons)
        for shape, polygon in zip(batch, polygons, strict=True):
            yield replace(shape, polygon=polygon)
