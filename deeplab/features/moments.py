"""Exact second moments of polygons with holes, and the ellipse that shares them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUND = 1e-6  # axes that differ by less than this share have no direction


@dataclass(frozen=True, slots=True)
class Ellipses:
    """Ellipses with the second moments of polygons, (n,) each; NaN where there is no area.

    Axes are whole ones, in the unit of the coordinates. `angle_deg` is that of the major axis from
    the x axis, counter-clockwise as seen on a screen whose y points down, in (-90, 90]; NaN where
    both axes are equal.
    """

    major: Floats
    minor: Floats
    angle_deg: Floats


def equal_ellipses(polygons: NDArray[np.object_]) -> Ellipses:
    """Return the ellipse of each polygon's second moments, by Green's theorem along its rings.

    Source: Steger 1996, On the calculation of arbitrary moments of polygons, FGBV-96-05.
    """
    area, xx, yy, xy = _central_sums(polygons)
    with np.errstate(divide="ignore", invalid="ignore"):
        xx, yy, xy = (np.where(area > 0, value / area, np.nan) for value in (xx, yy, xy))
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    # Rounding leaves the moment across a line below 0, and an outline that crosses itself both.
    large, small = np.where(mean + half < 0, np.nan, mean + half), np.maximum(mean - half, 0)
    angle_deg = np.degrees(np.arctan2(-2 * xy, xx - yy) / 2)
    angle_deg = np.where(angle_deg <= -90, 90.0, angle_deg)
    angle_deg += 0.0  # no -0
    directed = np.sqrt(large) - np.sqrt(small) > ROUND * np.sqrt(large)
    return Ellipses(4 * np.sqrt(large), 4 * np.sqrt(small), np.where(directed, angle_deg, np.nan))


def _central_sums(polygons: NDArray[np.object_]) -> tuple[Floats, Floats, Floats, Floats]:
    """Area and the integrals of x^2, y^2 and x y about the centroid, holes taken off, (n,) each."""
    parts, owner_of_part = shapely.get_parts(polygons, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    owner = owner_of_part[part]
    points, ring = shapely.get_coordinates(rings, return_index=True)
    centre = shapely.get_coordinates(shapely.centroid(polygons[owner]))
    points = points - centre[ring]  # far from 0 the sums would lose their digits
    (x0, y0), (x1, y1) = points[:-1].T, points[1:].T
    cross = np.where(ring[:-1] == ring[1:], x0 * y1 - x1 * y0, 0)
    per_ring = np.array(
        [
            np.bincount(ring[:-1], weights=cross * term, minlength=len(rings))
            for term in (
                np.full(len(cross), 1 / 2),
                (x0 * x0 + x0 * x1 + x1 * x1) / 12,
                (y0 * y0 + y0 * y1 + y1 * y1) / 12,
                (x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0) / 24,
            )
        ]
    )
    # The first ring of a part is its outline; whichever way a ring runs, holes count against it.
    first = np.diff(part, prepend=-1) > 0
    signed = per_ring * np.sign(per_ring[0]) * np.where(first, 1, -1)
    area, xx, yy, xy = (_per_polygon(owner, each, len(polygons)) for each in signed)
    return area, xx, yy, xy


def _per_polygon(owner: NDArray[np.intp], values: Floats, count: int) -> Floats:
    return np.bincount(owner, weights=values, minlength=count).astype(float)
