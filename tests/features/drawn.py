"""Shapes whose numbers are known by heart, and what is measured of them."""

from __future__ import annotations

import math

import numpy as np
import shapely
from shapely import affinity

from deeplab.annotations.shapes import Shape
from deeplab.features.outline import measure_outlines, polygons_um
from deeplab.geometry.frames import Mpp

ONE = Mpp.square(1.0)
CORNERS = 360  # of a circle: its area is then 5e-5 too small


def disc(x: float = 0, y: float = 0, radius: float = 1) -> shapely.Polygon:
    return shapely.Point(x, y).buffer(radius, quad_segs=CORNERS // 4)


def ring(outer: float, inner: float) -> shapely.Polygon:
    return disc(radius=outer).difference(disc(radius=inner))


def ellipse(a: float, b: float, degrees: float = 0) -> shapely.Polygon:
    return affinity.rotate(affinity.scale(disc(), a, b), degrees, origin=(0, 0))


def blob(seed: int, corners: int = 40) -> shapely.Polygon:
    """A star-shaped outline with a hole, unlike any of its mirror images."""
    rng = np.random.default_rng(seed)
    angle = np.arange(corners) * 2 * math.pi / corners
    radius = 10 + rng.uniform(-2, 2, corners) + 2 * np.cos(angle) + np.sin(2 * angle)
    points = np.column_stack([radius * np.cos(angle) * 1.5, radius * np.sin(angle)])
    return shapely.Polygon(points, [points[::-1] * 0.3])


def of(polygon: shapely.Polygon, mpp: Mpp = ONE) -> dict[str, float]:
    """The columns of one object."""
    columns = measure_outlines(polygons_um([Shape(polygon)], mpp), mpp)
    return {name: values[0] for name, values in columns.items()}
