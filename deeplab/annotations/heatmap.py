"""A value at points of a slide, which HistomicsUI shows as a heatmap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeplab.config.classes import Rgb

HEATMAP = "-heatmap"  # end of the name of a layer of one


@dataclass(frozen=True, slots=True)
class Heatmap:
    """How probable a class is, place by place.

    `points` is float (n, 3): x and y in level-0 pixels and a probability of 0 to 1; `radius` is how
    far a point shines, in level-0 pixels; `remark` is what is to be known before it is trusted.
    """

    name: str
    colour: Rgb
    points: NDArray[np.float64]
    radius: float
    remark: str = ""

    @property
    def layer(self) -> str:
        """Name of the annotation, and of its group."""
        return f"{self.name}{HEATMAP}"

    def annotation(self, attributes: Mapping[str, object]) -> dict[str, Any]:
        """Return this heatmap as an annotation of HistomicsUI, apart from the class's outlines."""
        red, green, blue = self.colour
        element = {
            "type": "heatmap",
            "group": self.layer,
            "points": [
                [round(x, 1), round(y, 1), 0, round(p, 3)] for x, y, p in self.points.tolist()
            ],
            "radius": round(self.radius, 1),
            "colorRange": [f"rgba({red}, {green}, {blue}, 0)", f"rgba({red}, {green}, {blue}, 1)"],
            "rangeValues": [0, 1],
            "normalizeRange": False,
            "scaleWithZoom": True,
        }
        said = f"probability of {self.name}"
        return {
            "name": self.layer,
            "description": f"{said}. {self.remark}" if self.remark else said,
            "elements": [element] if len(self.points) else [],
            "attributes": dict(attributes),
        }
