"""Position, size and form of outlined objects in um, exact from their polygons."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.calipers import span
from deeplab.annotations.shapes import Shape
from deeplab.features.bending import bend
from deeplab.features.moments import equal_ellipses
from deeplab.geometry.frames import Mpp

Floats = NDArray[np.float64]

COLUMNS = (
    "centroid_x_level0",
    "centroid_y_level0",
    "centroid_x_um",
    "centroid_y_um",
    "area_um2",
    "perimeter_um",
    "perimeter_with_holes_um",
    "hole_count",
    "hole_area_um2",
    "major_axis_um",
    "minor_axis_um",
    "aspect_ratio",
    "eccentricity",
    "orientation_deg",
    "equivalent_diameter_um",
    "max_feret_um",
    "min_feret_um",
    "extent",
    "rectangularity",
    "solidity",
    "circularity",
    "mean_abs_curvature_per_um",
    "bending_energy_per_um",
)


def polygons_um(shapes: Collection[Shape], mpp: Mpp) -> NDArray[np.object_]:
    """Return the shapes' polygons in um from the slide's top left corner, (n,).

    One whose corners are not all finite numbers becomes empty.
    """
    polygons = np.array([shape.polygon for shape in shapes], dtype=object)
    points, owner = shapely.get_coordinates(polygons, return_index=True)
    spoilt = np.unique(owner[~np.isfinite(points).all(axis=1)])
    polygons[spoilt] = shapely.Polygon()
    return np.asarray(shapely.transform(polygons, lambda xy: xy * (mpp.x, mpp.y)), dtype=object)


def measure_outlines(polygons: NDArray[np.object_], mpp: Mpp) -> dict[str, Floats]:
    """Return every one of `COLUMNS`, (n,) each, of polygons in um.

    What a shape does not have is NaN: all of an empty one's; axes and ratios where the area is 0.
    """
    there = ~shapely.is_empty(polygons)
    centroid = shapely.get_coordinates(shapely.centroid(polygons[there]))
    x_um, y_um = np.full((2, len(polygons)), np.nan)
    x_um[there], y_um[there] = centroid.T
    columns = {
        "centroid_x_level0": x_um / mpp.x,
        "centroid_y_level0": y_um / mpp.y,
        "centroid_x_um": x_um,
        "centroid_y_um": y_um,
        **_sizes(polygons),
        **_axes(polygons),
    }
    columns |= _ratios(polygons, columns)
    curvature, energy = bend(polygons)
    columns |= {"mean_abs_curvature_per_um": curvature, "bending_energy_per_um": energy}
    return {name: np.where(there, columns[name], np.nan) for name in COLUMNS}


def _sizes(polygons: NDArray[np.object_]) -> dict[str, Floats]:
    area = shapely.area(polygons)
    calipers = span(polygons)
    return {
        "area_um2": area,
        "perimeter_um": _over_parts(polygons, _outline_length),
        "perimeter_with_holes_um": shapely.length(polygons),
        "hole_count": _over_parts(polygons, shapely.get_num_interior_rings),
        "hole_area_um2": _filled(polygons) - area,
        "equivalent_diameter_um": _positive(np.sqrt(4 * area / np.pi)),
        "max_feret_um": calipers.longest,
        "min_feret_um": calipers.least,
        "rectangularity": _ratio(_positive(area), calipers.rectangle),
    }


def _axes(polygons: NDArray[np.object_]) -> dict[str, Floats]:
    ellipses = equal_ellipses(polygons)
    share = _ratio(ellipses.minor, ellipses.major)
    return {
        "major_axis_um": ellipses.major,
        "minor_axis_um": ellipses.minor,
        "aspect_ratio": _ratio(ellipses.major, ellipses.minor),
        "eccentricity": np.sqrt(np.maximum(1 - share**2, 0)),
        "orientation_deg": ellipses.angle_deg,
    }


def _ratios(polygons: NDArray[np.object_], sizes: dict[str, Floats]) -> dict[str, Floats]:
    left, top, right, bottom = shapely.bounds(polygons).T
    area = _positive(sizes["area_um2"])
    return {
        "extent": _ratio(area, (right - left) * (bottom - top)),
        "solidity": _ratio(area, shapely.area(shapely.convex_hull(polygons))),
        # Of the outer outline alone, so that a ring is as round as its disc.
        "circularity": _ratio(4 * np.pi * _positive(_filled(polygons)), sizes["perimeter_um"] ** 2),
    }


def _filled(polygons: NDArray[np.object_]) -> Floats:
    """Areas with the holes filled."""
    return _over_parts(polygons, _outline_area)


def _outline_length(parts: NDArray[np.object_]) -> Floats:
    return np.asarray(shapely.length(shapely.get_exterior_ring(parts)), dtype=float)


def _outline_area(parts: NDArray[np.object_]) -> Floats:
    return np.asarray(shapely.area(shapely.polygons(shapely.get_exterior_ring(parts))), dtype=float)


def _over_parts(
    polygons: NDArray[np.object_], measure: Callable[[NDArray[np.object_]], Floats]
) -> Floats:
    """Return the sum over the parts of each object, most often one."""
    parts, owner = shapely.get_parts(polygons, return_index=True)
    return np.bincount(owner, measure(parts), len(polygons)).astype(float)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, _positive(whole)), dtype=float)
