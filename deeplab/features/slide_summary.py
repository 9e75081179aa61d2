"""What a slide holds of a class: how many objects, how large, how dense in the tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UM2_PER_MM2 = 1e6


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """The objects of one class on one slide; what cannot be said is NaN.

    Areas are summed object by object, so where objects overlap the share may be above 1.
    """

    class_name: str
    count: int
    total_area_um2: float
    total_area_mm2: float
    mean_area_um2: float
    median_area_um2: float
    tissue_area_mm2: float
    share_of_tissue: float
    density_per_mm2: float


def summarise(
    class_name: str, area_um2: NDArray[np.float64], tissue_area_um2: float
) -> ClassSummary:
    """Return the summary of objects of these areas, (n,); a NaN area is that of no object.

    `tissue_area_um2` is NaN or 0 where it is not known; share and density are then NaN.
    """
    areas = area_um2[~np.isnan(area_um2)]
    tissue = tissue_area_um2 if tissue_area_um2 > 0 else float("nan")
    total = float(areas.sum())
    return ClassSummary(
        class_name=class_name,
        count=len(areas),
        total_area_um2=total,
        total_area_mm2=total / UM2_PER_MM2,
        mean_area_um2=float(areas.mean()) if areas.size else float("nan"),
        median_area_um2=float(np.median(areas)) if areas.size else float("nan"),
        tissue_area_mm2=tissue / UM2_PER_MM2,
        share_of_tissue=total / tissue,
        density_per_mm2=len(areas) / tissue * UM2_PER_MM2,
    )
