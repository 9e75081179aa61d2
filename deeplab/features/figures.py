"""The features that a report shows, what they are called there, and how they are spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeplab.features.slide_measures import SlideMeasures, channels_of, pooled


@dataclass(frozen=True, slots=True)
class ReportedFeature:
    """A feature in a report; `unit` is empty where it is a plain number."""

    column: str
    words: str
    unit: str = ""

    @property
    def label(self) -> str:
        """Words and unit."""
        return f"{self.words}, {self.unit}" if self.unit else self.words


FIGURES = (
    ReportedFeature("area_um2", "area", "µm²"),
    ReportedFeature("equivalent_diameter_um", "diameter of the disc of that area", "µm"),
    ReportedFeature("perimeter_um", "perimeter", "µm"),
    ReportedFeature("circularity", "circularity (1: a disc)"),
    ReportedFeature("aspect_ratio", "length / width"),
    ReportedFeature("solidity", "solidity (1: no dents)"),
    ReportedFeature("nearest_same_edge_um", "distance to the nearest of its kind", "µm"),
    ReportedFeature("haematoxylin_mean", "haematoxylin (0 none, 255 black)"),
    ReportedFeature("eosin_mean", "eosin (0 none, 255 black)"),
    ReportedFeature("pas_mean", "PAS (0 none, 255 black)"),
    ReportedFeature("pas_positive_share", "PAS-positive share of the area"),
    ReportedFeature("nucleus_count", "nuclei inside"),
    ReportedFeature("nucleus_density_per_mm2", "nuclei per mm² inside"),
)
DRAWN = ("area_um2", "circularity", "aspect_ratio", "nearest_same_edge_um", "haematoxylin_mean",
         "eosin_mean", "pas_mean", "nucleus_density_per_mm2")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The values of a feature: how many, the least, quartiles and the greatest."""

    count: int
    least: float
    lower: float
    median: float
    upper: float
    most: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Spread:
        """Of finite values, at least one."""
        least, lower, median, upper, most = np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
        return cls(
            count=len(values), least=least, lower=lower, median=median, upper=upper, most=most
        )


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return those that were measured."""
    return values[np.isfinite(values)]


def intensity_figure(channel: str) -> ReportedFeature:
    """Return the figure of a channel of fluorescent slides, in their values."""
    return ReportedFeature(f"{channel}_mean", f"mean intensity of {channel}")


def measured_figures(
    slides: Sequence[SlideMeasures], class_name: str
) -> dict[ReportedFeature, NDArray[np.float64]]:
    """Return the figures of a class that any object has, with their values on all slides, (n,)."""
    found = {
        each: finite(pooled(slides, class_name, each.column))
        for each in (*FIGURES, *map(intensity_figure, channels_of(slides)))
    }
    return {figure: values for figure, values in found.items() if values.size}
