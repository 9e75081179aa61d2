"""Metastases on a slide of a lymph node: which outlines are one, its size and its name.

Litjens et al. 2018, GigaScience 7:giy065, for the categories; Ehteshami Bejnordi et al. 2017,
JAMA 318:2199, for what of an outline is one lesion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deeplab.annotations.calipers import span
from deeplab.annotations.shapes import Area, polygon_parts
from deeplab.geometry.frames import Mpp

Category = Literal["negative", "itc", "micro", "macro"]
CATEGORIES: tuple[Category, ...] = ("negative", "itc", "micro", "macro")  # by severity
MICRO_MM, MACRO_MM = 0.2, 2.0  # from the first on, and above the second
UM_PER_MM = 1000.0


@dataclass(frozen=True, slots=True)
class Lesion:
    """One metastasis.

    Attributes:
        diameter_mm: its largest, between any two points of it.
        area_mm2: of its outlines, their holes left out; where two overlap it counts once.
        filled: its outlines without holes, um from the slide's top left corner.
    """

    diameter_mm: float
    area_mm2: float
    filled: shapely.MultiPolygon

    @property
    def category(self) -> Category:
        """What a lesion of this size is called."""
        return category_of(self.diameter_mm)


@dataclass(frozen=True, slots=True)
class NodeLesions:
    """The metastases on one slide, the largest first."""

    slide: str
    lesions: tuple[Lesion, ...]

    @property
    def category(self) -> Category:
        """What the slide is called, by its largest lesion."""
        return self.lesions[0].category if self.lesions else "negative"

    @property
    def largest_mm(self) -> float:
        """Largest diameter on the slide; 0 where there is no lesion."""
        return self.lesions[0].diameter_mm if self.lesions else 0.0

    @property
    def area_mm2(self) -> float:
        """Area of all lesions."""
        return sum(lesion.area_mm2 for lesion in self.lesions)

    def count(self) -> Counter[Category]:
        """Return the number of lesions of each category."""
        return Counter(lesion.category for lesion in self.lesions)


def category_of(diameter_mm: float) -> Category:
    """Return what a lesion is called: isolated tumour cells, micro- or macrometastasis."""
    if diameter_mm < MICRO_MM:
        return "itc"
    return "micro" if diameter_mm <= MACRO_MM else "macro"


def find_lesions(outlines: Iterable[Area], mpp: Mpp, merge_um: float) -> tuple[Lesion, ...]:
    """Return the lesions that outlines, level-0 pixels, are of, the largest first.

    Outlines that are no farther than `merge_um` from one another are one lesion, also where one
    lies in a hole of another.
    """
    parts = np.array(
        [part for outline in outlines for part in polygon_parts(outline)] + [None], object
    )[:-1]
    if not parts.size:
        return ()
    parts = shapely.transform(parts, lambda corners: corners * (mpp.x, mpp.y))
    filled = shapely.polygons(shapely.get_exterior_ring(parts))
    groups = _group_near(filled, merge_um)
    lesions = [_measure(filled[group], parts[group]) for group in groups]
    return tuple(sorted(lesions, key=lambda lesion: -lesion.diameter_mm))


def _group_near(polygons: NDArray[np.object_], merge_um: float) -> list[NDArray[np.intp]]:
    """Return the indices of polygons that are chains of neighbours."""
    tree = shapely.STRtree(polygons)
    first, second = tree.query(polygons, predicate="dwithin", distance=merge_um)
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(polygons),) * 2)
    _, group = connected_components(links, directed=False)
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _measure(filled: NDArray[np.object_], parts: NDArray[np.object_]) -> Lesion:
    whole = shapely.multipolygons(filled)
    (diameter_um,) = span(np.array([whole], object)).longest.tolist()
    area_um2 = shapely.union_all(parts).area if len(parts) > 1 else parts[0].area
    return Lesion(diameter_um / UM_PER_MM, area_um2 / UM_PER_MM**2, whole)


def most_severe(categories: Sequence[Category]) -> Category:
    """Return the most severe of some categories, "negative" of none."""
    return max(categories, key=CATEGORIES.index, default="negative")
