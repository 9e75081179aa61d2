"""Regions that are cut out of the shapes of a layer, in formats that have no holes."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import polygon_parts

ROUNDING = 0.02  # level-0 pixels; files keep two decimals, so what touched may overlap by as much

ANY = -1  # the owner of what is cut out of every shape that it meets


class Exclusions:
    """What is not part of a layer's shapes, to be known before the shapes are."""

    def __init__(self) -> None:
        self._areas: list[shapely.Geometry] = []
        self._owners: list[int] = []
        self._tree: shapely.STRtree | None = None
        self._met: NDArray[np.bool_] = np.zeros(0, bool)

    def add(self, polygon: shapely.Polygon, owner: int = ANY) -> None:
        """Takes one more area; it may cross itself.

        Args:
            polygon: the area.
            owner: the number of the one shape that it is cut out of, or ANY.
        """
        self._areas.append(_valid(polygon))
        self._owners.append(owner)
        self._tree = None

    @property
    def unmet(self) -> int:
        """Number of areas that no shape has met."""
        return len(self._areas) - int(self._met.sum())

    def cut(self, polygon: shapely.Polygon, number: int) -> list[shapely.Polygon]:
        """What is left of the shape of a number.

        A shape that lies wholly within an area of no owner is an island in it and stays as it is.
        """
        if not self._areas:
            return [polygon]
        if self._tree is None:
            self._tree = shapely.STRtree(self._areas)
            self._met = np.zeros(len(self._areas), bool)
        near = [at for at in self._tree.query(polygon) if self._owners[at] in (ANY, number)]
        if not near:
            return [polygon]
        whole = _valid(polygon)
        met = [at for at in near if shapely.intersects(self._areas[at], whole)]
        self._met[met] = True
        inner = [
            self._areas[at]
            for at in met
            if self._owners[at] == number or not _covers(self._areas[at], whole)
        ]
        if not inner:
            return [polygon]
        return polygon_parts(shapely.difference(whole, shapely.union_all(inner)))


def _valid(polygon: shapely.Polygon) -> shapely.Geometry:
    return shapely.make_valid(polygon, method="structure", keep_collapsed=False)


def _covers(area: shapely.Geometry, shape: shapely.Geometry) -> bool:
    left, top, right, bottom = area.bounds
    x0, y0, x1, y1 = shape.bounds
    if min(x0 - left, y0 - top, right - x1, bottom - y1) < -ROUNDING:
        return False
    return bool(shapely.difference(shape, area).area <= ROUNDING * shape.length)
