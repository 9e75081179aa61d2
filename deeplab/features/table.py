"""All that polygons tell of a slide's objects, a table for each class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.shapes import Annotations
from deeplab.features.neighbours import measure_neighbours
from deeplab.features.outline import measure_outlines, polygons_um
from deeplab.geometry.frames import Mpp


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The objects of one class: columns (n,) by name, in the order of the layer's shapes."""

    class_name: str
    columns: dict[str, NDArray[np.float64]]

    def rows(self) -> Iterator[dict[str, float]]:
        """Return one object after the other, the columns in order."""
        values = np.array(list(self.columns.values())).T.tolist()
        return (dict(zip(self.columns, row, strict=True)) for row in values)


def measure(annotations: Annotations, mpp: Mpp, *, radius_um: float) -> dict[str, FeatureTable]:
    """Outline and neighbour columns of every class; layers that share a name are one class.

    Raises:
        ConfigError: the radius is not above 0.
    """
    classes = {name: polygons_um(annotations.layer(name).shapes, mpp) for name in annotations.names}
    neighbours = measure_neighbours(classes, radius_um=radius_um)
    return {
        name: FeatureTable(name, measure_outlines(polygons, mpp) | neighbours[name])
        for name, polygons in classes.items()
    }
