"""Measured slides, made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeplab.features import neighbours, outline
from deeplab.features.slide_measures import SlideMeasures
from deeplab.features.table import FeatureTable
from deeplab.geometry.frames import Mpp


def measures(name: str = "a.svs", tissue_um2: float = 1e6, **areas: list[float]) -> SlideMeasures:
    """A slide with objects of these areas by class; `__` in the name of a class is a blank."""
    classes = {each.replace("__", " "): values for each, values in areas.items()}
    return of_classes(name, classes, tissue_um2)


def of_classes(
    name: str, classes: dict[str, list[float]], tissue_um2: float = 1e6
) -> SlideMeasures:
    return SlideMeasures(
        name=name,
        slide=name,
        mpp=Mpp(0.5, 0.5),
        tissue_area_um2=tissue_um2,
        tables={each: _table(each, areas) for each, areas in classes.items()},
        colours=dict.fromkeys(classes, (200, 10, 20)),
        layers=Path("none"),
    )


def _table(name: str, areas: list[float]) -> FeatureTable:
    values = np.array(areas, dtype=float)
    columns = {
        each: np.linspace(0.1, 1, len(values)) for each in (*outline.COLUMNS, *neighbours.COLUMNS)
    }
    return FeatureTable(name, columns | {"area_um2": values})
