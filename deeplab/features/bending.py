"""How much outlines bend: curvature and bending energy of the smoothed outer outline."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POINTS = 512  # on each outline, equally far apart along it
WAVES = 12  # waves around the outline that are kept; the stairs of a traced outline are shorter
BATCH = 1024  # outlines at once


def bend(polygons: NDArray[np.object_]) -> tuple[Floats, Floats]:
    """Mean absolute curvature and bending energy, (n,) each, in 1 / the unit of the coordinates.

    The outer outline is taken at `POINTS` equal steps and its k-th Fourier coefficient multiplied
    by exp(-(k / WAVES)^4), so that a circle stays one. With the turning angle t and the length s at
    each point, the mean absolute curvature is sum |t| / sum s, the bending energy sum t^2 / s: both
    halve when an object doubles. On a circle of radius r they are 1 / r and 2 pi / r. Of an object
    of several parts it is the outline of the largest. NaN where an outline has no length. Source:
    Young, Walker and Bowie 1974, Inf Control 25:357.
    """
    curvature, energy = np.full(len(polygons), np.nan), np.full(len(polygons), np.nan)
    outlines = shapely.get_exterior_ring(_largest_parts(polygons))
    long = np.flatnonzero(shapely.length(outlines) > 0)
    for first in range(0, len(long), BATCH):
        chosen = long[first : first + BATCH]
        curvature[chosen], energy[chosen] = _turn(_smooth(_resample(outlines[chosen])))
    return curvature, energy


def _largest_parts(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    parts, owner = shapely.get_parts(polygons, return_index=True)
    order = np.lexsort((shapely.area(parts), owner))
    last = np.append(np.diff(owner[order]) > 0, True)[: len(order)]
    largest = polygons.copy()
    largest[owner[order][last]] = parts[order][last]
    return largest


def _resample(outlines: NDArray[np.object_]) -> NDArray[np.complex128]:
    """(n, POINTS) points x + i y at equal steps along each closed outline, from its middle."""
    points, ring = shapely.get_coordinates(outlines, return_index=True)
    centre = shapely.get_coordinates(shapely.centroid(outlines))
    flat = (points - centre[ring]) @ np.array([1, 1j])
    same = ring[1:] == ring[:-1]
    run = np.concatenate([[0], np.cumsum(np.where(same, np.abs(np.diff(flat)), 0))])
    last = np.append(np.flatnonzero(~same), len(ring) - 1)
    start = np.append(0, run[last[:-1]])
    share = (run - start[ring]) / (run[last] - start)[ring]
    # Every outline has the stretch 2 i to 2 i + 1 to itself, so that one call serves all.
    wanted = 2 * np.arange(len(outlines))[:, None] + np.arange(POINTS) / POINTS
    return np.asarray(np.interp(wanted, 2 * ring + share, flat), complex)


def _smooth(points: NDArray[np.complex128]) -> NDArray[np.complex128]:
    waves = np.fft.fftfreq(POINTS, 1 / POINTS)
    return np.fft.ifft(np.fft.fft(points, axis=1) * np.exp(-((waves / WAVES) ** 4)), axis=1)


def _turn(points: NDArray[np.complex128]) -> tuple[Floats, Floats]:
    steps = np.roll(points, -1, axis=1) - points
    turn = np.angle(steps * np.conj(np.roll(steps, 1, axis=1)))
    length = (np.abs(steps) + np.abs(np.roll(steps, 1, axis=1))) / 2
    bends = np.divide(turn**2, length, out=np.zeros_like(length), where=length > 0)
    return np.abs(turn).sum(axis=1) / length.sum(axis=1), bends.sum(axis=1)
