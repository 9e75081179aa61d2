"""Objects with their features, as layers of HistomicsUI, and a slide's numbers as metadata."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from deeplab.annotations.shapes import Annotations, Layer, Property, Shape
from deeplab.features.slide_measures import SlideMeasures
from deeplab.features.table import FeatureTable

TASK = "ExtractFeaturesFromAnnotations"
METADATA = "deeplab_features"  # the one key of an item's metadata that this task writes
LEFT_OUT = ("haralick_", "red_", "green_", "blue_", "grey_")  # they stay in the tables
DIGITS = 6
MOST_OBJECTS = 25_000  # of a layer that HistomicsUI plots; more would also make too large a request
# What is compared from slide to slide, besides counts and areas.
MEDIANS = (
    "circularity",
    "aspect_ratio",
    "nearest_same_edge_um",
    "haematoxylin_mean",
    "eosin_mean",
    "pas_mean",
    "pas_positive_share",
    "nucleus_density_per_mm2",
)


def layer_name(class_name: str) -> str:
    """Return what the layer of a class's features is called, beside the one that people draw in."""
    return f"{class_name} features"


def feature_layers(
    annotations: Annotations, tables: Mapping[str, FeatureTable], channels: Sequence[str] = ()
) -> Annotations:
    """Return a layer for each class: its shapes with the number of the object and its features.

    What a shape said of itself before stays, unless a feature has its name. Of colours and texture
    nothing is said, but all of channels whose intensity was measured, whatever they are called.
    """
    left_out = () if channels else LEFT_OUT
    layers = [
        Layer(
            layer_name(name),
            annotations.layer(name).colour,
            tuple(_shapes(annotations.layer(name), table, left_out)),
            f"what was measured of {name}",
        )
        for name, table in tables.items()
    ]
    return Annotations(tuple(layers), mpp=annotations.mpp)


def _shapes(layer: Layer, table: FeatureTable, left_out: tuple[str, ...]) -> Iterator[Shape]:
    for number, (shape, row) in enumerate(zip(layer.shapes, table.rows(), strict=True), start=1):
        told: dict[str, Property] = {**shape.properties, "object": number}
        for name, value in row.items():
            if not name.startswith(left_out) and math.isfinite(value):
                told[name] = _rounded(value)
        if not shape.polygon.is_empty and math.isfinite(row["area_um2"]):
            yield Shape(shape.polygon, told)


def slide_metadata(slide: SlideMeasures) -> dict[str, float]:
    """Return the slide's numbers, flat, so that HistomicsUI plots each: counts, areas, medians."""
    told: dict[str, float] = {}
    for summary in slide.summaries:
        told["tissue_area_mm2"] = summary.tissue_area_mm2
        numbers = {
            "count": summary.count,
            "total_area_mm2": summary.total_area_mm2,
            "mean_area_um2": summary.mean_area_um2,
            "median_area_um2": summary.median_area_um2,
            "share_of_tissue": summary.share_of_tissue,
            "density_per_mm2": summary.density_per_mm2,
        }
        intensities = (f"{channel}_mean" for channel in slide.channels)
        numbers |= {
            f"median_{name}": _median(slide, summary.class_name, name)
            for name in (*MEDIANS, *intensities)
        }
        told |= {f"{summary.class_name} {name}": value for name, value in numbers.items()}
    return {_key(name): _rounded(v) for name, v in told.items() if math.isfinite(v)}


def _median(slide: SlideMeasures, class_name: str, column: str) -> float:
    values = slide.column(class_name, column)
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else math.nan


def _rounded(value: float) -> float:
    """Digits that say something; places on a slide keep theirs."""
    return float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS else round(value, 1)


def _key(name: str) -> str:
    """Return a name as MongoDB stores it: without dots, and no dollar sign in front."""
    clean = "".join(each if each.isprintable() else " " for each in name)
    return clean.replace(".", "_").lstrip("$ ") or "_"
