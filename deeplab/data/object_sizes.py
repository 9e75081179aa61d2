"""How large the objects are that were drawn, and whether they touch each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.data.truth import AnnotatedSlide, Polygons

QUANTILES = (0.1, 0.5, 0.9)
LOOKED_AT = 1000  # objects of a class and a slide: enough for a share, however many there are


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSizes:
    """Diameters of the objects of a class, each that of the disc of the same area.

    Attributes:
        tenth_um: a tenth of the objects is smaller.
        median_um: half of them are.
        ninetieth_um: nine tenths of them are.
        touching: share of the objects that touch or overlap another one of their class.
    """

    tenth_um: float
    median_um: float
    ninetieth_um: float
    touching: float = 0.0

    def __str__(self) -> str:
        return f"{self.median_um:.3g} um across ({self.tenth_um:.3g} to {self.ninetieth_um:.3g})"


def measure_sizes(
    slides: Sequence[AnnotatedSlide], classes: Sequence[str]
) -> dict[str, ObjectSizes]:
    """Return how large the objects of each class are on all slides, without classes of none."""
    found = {name: _measure(slides, label) for label, name in enumerate(classes, start=1)}
    return {name: sizes for name, sizes in found.items() if sizes}


def _measure(slides: Sequence[AnnotatedSlide], label: int) -> ObjectSizes | None:
    drawn = [(slide, slide.shapes_of(label)) for slide in slides if slide.shapes_of(label)]
    if not drawn:
        return None
    diameters_um = np.concatenate([_diameters_um(slide, polygons) for slide, polygons in drawn])
    touching = np.concatenate([_touches(polygons) for _, polygons in drawn])
    tenth, median, ninetieth = np.quantile(diameters_um, QUANTILES).tolist()
    return ObjectSizes(
        tenth_um=tenth,
        median_um=median,
        ninetieth_um=ninetieth,
        touching=float(touching.mean()),
    )


def _diameters_um(slide: AnnotatedSlide, polygons: Polygons) -> NDArray[np.float64]:
    """Return the diameters of polygons, float64 (polygons,)."""
    mpp = slide.slide.mpp
    area_um2 = shapely.area(np.asarray(polygons, object)) * mpp.x * mpp.y
    return np.asarray(2 * np.sqrt(area_um2 / np.pi), np.float64)


def _touches(polygons: Polygons) -> NDArray[np.bool_]:
    """Return whether polygons meet another one, bool (polygons looked at,)."""
    every = -(-len(polygons) // LOOKED_AT)
    looked_at = np.asarray(polygons, object)[::every]
    looked, met = shapely.STRtree(polygons).query(looked_at, predicate="intersects")
    touches = np.zeros(len(looked_at), np.bool_)
    touches[looked[met != looked * every]] = True
    return touches
