"""Polygons with holes as parts without, for formats that know outlines only."""

from __future__ import annotations

import numpy as np
import shapely


def hole_free_parts(polygon: shapely.Polygon) -> list[shapely.Polygon]:
    """Parts without holes whose union is the polygon; they meet in upright cuts through the holes.

    Parts share the corners of a cut to the last bit, so `shapely.union_all` leaves no seam.
    """
    if not polygon.interiors:
        return [polygon]
    bounds = shapely.bounds(np.array(polygon.interiors, object))
    middles = np.sort((bounds[:, 0] + bounds[:, 2]) / 2)
    x = float(middles[len(middles) // 2])
    _, bottom, _, top = polygon.bounds
    cut = shapely.LineString([(x, bottom - 1), (x, top + 1)])
    lines = shapely.union(polygon.boundary, cut)
    shapely.prepare(polygon)
    parts = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    inside = shapely.contains(polygon, shapely.point_on_surface(parts))
    return [part for half in parts[inside] for part in hole_free_parts(half)]
