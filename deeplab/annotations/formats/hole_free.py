"""Polygons with holes as parts without, for formats that know outlines only."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray


def hole_free_parts(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """Return parts without holes whose union is the polygon; they meet in upright cuts.

    Parts share the corners of a cut to the last bit, so `shapely.union_all` leaves no seam.
    """
    if not polygon.interiors:
        return [polygon]
    _, bottom, _, top = polygon.bounds
    x = _cuts(shapely.bounds(np.array(polygon.interiors, object)))
    ends = np.stack([np.column_stack([x, np.full_like(x, y)]) for y in (bottom - 1, top + 1)], 1)
    lines = shapely.union(polygon.boundary, shapely.multilinestrings(shapely.linestrings(ends)))
    shapely.prepare(polygon)
    parts = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    inside = shapely.contains(polygon, shapely.point_on_surface(parts))
    return list(parts[inside])


def _cuts(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fewest x such that an upright line at one of them goes through each of the holes.

    Holes are taken from left to right by where they end; those that one line can meet get one.
    """
    found: list[float] = []
    low = high = -np.inf
    for left, right in bounds[np.argsort(bounds[:, 2])][:, [0, 2]].tolist():
        if left >= high:  # the line for those before does not meet it
            found.append((low + high) / 2)
            low, high = left, right
        else:
            low = max(low, left)
    return np.array([*found[1:], (low + high) / 2])
