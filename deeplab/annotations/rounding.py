"""Corners as files hold them, in decimals: what was a valid area is one when it is read again."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Area

AnyArea = TypeVar("AnyArea", bound=Area)
AnyMark = TypeVar("AnyMark", bound=shapely.Point | shapely.LineString)

DECIMALS = 2  # hundredths of a level-0 pixel
FINER = (4, 6, 9)  # for what hundredths would make cross itself
ALL_DECIMALS = 17  # as many as the place on a slide of a float can have


def round_corners(area: AnyArea) -> AnyArea:
    """Return a valid area with its corners on hundredths of a pixel, or as much finer as it needs.

    Two sides nearer to each other than that may come to cross or to lie on each other; such an area
    keeps more decimals, so that it stays one object of as many parts and holes.
    """
    if count_decimals(shapely.get_coordinates(area)) == DECIMALS:
        return area
    for decimals in (DECIMALS, *FINER):
        rounded: AnyArea = shapely.transform(area, partial(np.round, decimals=decimals))
        if rounded.is_valid:
            return rounded
    return area


def round_mark(geometry: AnyMark) -> AnyMark:
    """Return a point or a line with its corners on hundredths of a pixel."""
    rounded: AnyMark = shapely.transform(geometry, partial(np.round, decimals=DECIMALS))
    return rounded


def count_decimals(points: NDArray[np.float64]) -> int:
    """Return how many decimals it takes to write numbers as they are, two at least."""
    for decimals in (DECIMALS, *FINER):
        if (np.round(points, decimals) == points).all():
            return decimals
    return ALL_DECIMALS
