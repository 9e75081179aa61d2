"""Polygons between calipers: the longest and the least distance across, and the least rectangle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BATCH = 2**21  # numbers held at once: hulls x edges x corners


@dataclass(frozen=True, slots=True)
class Calipers:
    """What calipers read around polygons, (n,) each, in the unit of the coordinates.

    `longest` and `least` are the maximum and minimum Feret diameters, `rectangle` is the area of
    the least rectangle at any angle. All are NaN where a polygon has no corner.
    """

    longest: Floats
    least: Floats
    rectangle: Floats


def span(polygons: NDArray[np.object_]) -> Calipers:
    """Exact readings from the corners of the convex hulls.

    Both the least distance and the least rectangle lie along an edge of the hull: Freeman and
    Shapira 1975, Communications of the ACM 18:409.
    """
    corners, owner = shapely.get_coordinates(shapely.convex_hull(polygons), return_index=True)
    counts = np.bincount(owner, minlength=len(polygons))
    starts = np.cumsum(counts) - counts
    longest, least, rectangle = (np.full(len(polygons), np.nan) for _ in range(3))
    for chosen, size in _batches(counts):
        # Short hulls repeat their last corner, which adds only edges of no length.
        places = np.minimum(np.arange(size), counts[chosen, None] - 1)
        hulls = corners[starts[chosen, None] + places]
        longest[chosen], least[chosen], rectangle[chosen] = _read(hulls)
    return Calipers(longest, least, rectangle)


def _batches(counts: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Indices of hulls whose corners are rounded up to the same power of two, and that power."""
    sizes = np.where(counts > 0, 2 ** np.ceil(np.log2(np.maximum(counts, 2))), 0).astype(int)
    for size in np.unique(sizes[sizes > 0]):
        alike = np.flatnonzero(sizes == size)
        count = max(1, BATCH // int(size) ** 2)
        for first in range(0, len(alike), count):
            yield alike[first : first + count], int(size)


def _read(hulls: Floats) -> tuple[Floats, Floats, Floats]:
    """Longest, least and rectangle of hulls, (n, corners, 2), a few edges at a time."""
    longest = np.zeros(len(hulls))
    least, rectangle = np.full(len(hulls), np.inf), np.full(len(hulls), np.inf)
    hulls = hulls - hulls[:, :1]  # far from 0 the projections would lose digits
    edges = np.diff(hulls, axis=1, append=hulls[:, :1])
    length = np.linalg.norm(edges, axis=2, keepdims=True)
    along = np.divide(edges, length, out=np.full_like(edges, np.nan), where=length > 0)
    across = along[..., ::-1] * (-1, 1)
    step = max(1, BATCH // hulls[..., 0].size)
    for first in range(0, hulls.shape[1], step):
        part = slice(first, first + step)
        dx, dy = (hulls[:, part, None, i] - hulls[:, None, :, i] for i in (0, 1))
        longest = np.maximum(longest, np.sqrt((dx * dx + dy * dy).max(axis=(1, 2))))
        width, height = (
            np.ptp(hulls @ axes[:, part].swapaxes(1, 2), axis=1) for axes in (along, across)
        )
        least = np.fmin(least, np.fmin.reduce(height, axis=1))
        rectangle = np.fmin(rectangle, np.fmin.reduce(width * height, axis=1))
    # All corners in one place: no edge to lay the calipers on.
    return longest, np.where(longest > 0, least, 0), np.where(longest > 0, rectangle, 0)
