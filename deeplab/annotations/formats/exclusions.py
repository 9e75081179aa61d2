"""Regions that are cut out of the shapes of a layer, in formats that have no holes."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.mending import TANGLED, Mended, cut_out, join, mend, tangled
from deeplab.annotations.shapes import Area

ROUNDING = 0.02  # level-0 pixels; files keep two decimals, so what touched may overlap by as much

ANY = -1  # the owner of what is cut out of every shape that it meets


class Exclusions:
    """What is not part of a layer's shapes, to be known before the shapes are."""

    def __init__(self) -> None:
        self.problems: list[str] = []  # of areas that cannot be cut out
        self._areas: list[Area] = []
        self._owners: list[int] = []
        self._tree: shapely.STRtree | None = None
        self._met: NDArray[np.bool_] = np.zeros(0, bool)
        self._owner_of: NDArray[np.int64] = np.zeros(0, np.int64)
        self._bounds: NDArray[np.float64] = np.zeros((0, 4))
        self._joined: tuple[tuple[int, ...], shapely.Geometry] = ((), shapely.Polygon())

    def add(self, polygon: shapely.Polygon, owner: int = ANY) -> None:
        """Take one more area; it may cross itself. One that encloses nothing excludes nothing.

        Args:
            polygon: the area.
            owner: the number of the one shape that it is cut out of, or ANY.
        """
        mended = mend(polygon)
        if mended.refusal == TANGLED:
            self.problems.append(tangled(polygon))
        elif mended.area:
            self._areas.append(mended.area)
            self._owners.append(owner)
            self._tree = None

    @property
    def unmet(self) -> int:
        """Number of areas that no shape has met."""
        return len(self._areas) - int(self._met.sum())

    def cut(self, area: Area, number: int) -> Mended:
        """Return what is left of the valid area of the shape of a number, one object.

        A shape that lies wholly within an area of no owner is an island in it and stays as it is.
        """
        if not self._areas:
            return Mended(area=area)
        if self._tree is None:
            self._tree = shapely.STRtree(self._areas)
            self._owner_of = np.array(self._owners)
            self._bounds = shapely.bounds(self._areas)
            self._met = np.zeros(len(self._areas), bool)
        near = np.sort(self._tree.query(area, predicate="intersects"))
        owners = self._owner_of[near]
        near = near[(owners == ANY) | (owners == number)]
        self._met[near] = True
        inner = [
            int(at)
            for at, may_cover in zip(near, self._reach_round(area, near), strict=True)
            if self._owners[at] == number or not (may_cover and _covers(self._areas[at], area))
        ]
        return cut_out(area, self._join(tuple(inner))) if inner else Mended(area=area)

    def _reach_round(self, area: Area, near: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of some areas have bounds that hold those of another, (near,)."""
        outwards = (self._bounds[near] - area.bounds) * (-1, -1, 1, 1)
        return np.asarray((outwards >= -ROUNDING).all(axis=1))

    def _join(self, inner: tuple[int, ...]) -> shapely.Geometry:
        """Return some areas as one; where shapes lie over each other it is often the last again."""
        if self._joined[0] != inner:
            parts = shapely.get_parts([self._areas[at] for at in inner])
            self._joined = inner, join(parts)
        return self._joined[1]


def _covers(area: Area, shape: Area) -> bool:
    return bool(shapely.difference(shape, area).area <= ROUNDING * shape.length)
