"""How far objects are from each other, and how densely they lie, in um."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deeplab.errors import ConfigError
from deeplab.features.slide_summary import UM2_PER_MM2

Floats = NDArray[np.float64]

COLUMNS = ("nearest_same_centroid_um", "nearest_same_edge_um", "density_near_per_mm2")


def distance_column(name: str) -> str:
    """Return the column of the distances to another class."""
    return f"to_{name}_um"


def measure_neighbours(
    classes: Mapping[str, NDArray[np.object_]], *, radius_um: float
) -> dict[str, dict[str, Floats]]:
    """Of each class `COLUMNS` and, for each other class, its `distance_column`; (n,) each.

    Args:
        classes: polygons in um by the names of their classes.
        radius_um: how far around a centroid others of its class count for the density.

    Edges of objects that touch or overlap are 0 um apart, also where one lies in the other; what
    lies in a hole is as far as the hole's edge. NaN where there is no other object.

    Raises:
        ConfigError: the radius is not above 0.
    """
    if not (np.isfinite(radius_um) and radius_um > 0):
        raise ConfigError("radius_um", radius_um, "a number above 0")
    # A crossing outline may have no answer to "how far"; its parts have.
    valid = {name: _mended(polygons) for name, polygons in classes.items()}
    trees = {name: shapely.STRtree(polygons) for name, polygons in valid.items()}
    return {
        name: {
            **_same(polygons, trees[name], radius_um),
            **{
                distance_column(other): _to_nearest(polygons, tree)
                for other, tree in trees.items()
                if other != name
            },
        }
        for name, polygons in valid.items()
    }


def _mended(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    mended = polygons.copy()
    broken = ~shapely.is_valid(polygons)
    mended[broken] = shapely.make_valid(polygons[broken])
    return mended


def _same(
    polygons: NDArray[np.object_], tree: shapely.STRtree, radius_um: float
) -> dict[str, Floats]:
    centroid, near = np.full(len(polygons), np.nan), np.full(len(polygons), np.nan)
    there = np.flatnonzero(~shapely.is_empty(polygons))
    if there.size:
        points = shapely.get_coordinates(shapely.centroid(polygons[there]))
        around = cKDTree(points)
        # The nearest is the point itself, or another one in the same place: also 0 um.
        second = around.query(points, k=2)[0][:, 1]
        centroid[there] = np.where(np.isfinite(second), second, np.nan)
        others = around.query_ball_point(points, radius_um, return_length=True) - 1
        near[there] = others / (np.pi * radius_um**2) * UM2_PER_MM2
    columns = centroid, _to_nearest_other(polygons, tree), near
    return dict(zip(COLUMNS, columns, strict=True))


def _to_nearest(polygons: NDArray[np.object_], tree: shapely.STRtree) -> Floats:
    """Distance from each polygon to the nearest one of the tree, (n,)."""
    distance = np.full(len(polygons), np.nan)
    (asked, _), found = tree.query_nearest(polygons, return_distance=True, all_matches=False)
    distance[asked] = found
    return distance


def _to_nearest_other(polygons: NDArray[np.object_], tree: shapely.STRtree) -> Floats:
    """Distance from each polygon of the tree to the nearest of the others, (n,)."""
    distance = np.full(len(polygons), np.nan)
    asked, found = tree.query(polygons, predicate="intersects")
    touching = np.unique(asked[asked != found])
    distance[touching] = 0
    # The tree leaves out equals, not just the one asked about: those are known to touch by now.
    alone = np.setdiff1d(np.arange(len(polygons)), touching)
    (asked, _), nearest = tree.query_nearest(
        polygons[alone], return_distance=True, all_matches=False, exclusive=True
    )
    distance[alone[asked]] = nearest
    return distance
