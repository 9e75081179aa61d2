"""Annotations as GeoJSON, in the dialect that QuPath reads and writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from deeplab.annotations.gather import LayerGatherer, coordinates, parse_json, read_limited
from deeplab.annotations.shapes import Annotations, Layer, Property, Shape
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError
from deeplab.files import whole_file

DECIMALS = 2  # a hundredth of a level-0 pixel
UNNAMED = "unclassified"
Json = dict[str, Any]


def write_geojson(path: Path, annotations: Annotations) -> None:
    """Writes a FeatureCollection: one annotation object of QuPath per shape.

    Numbers among the properties become measurements, words metadata. Layers without shapes and
    their descriptions have no place in this format.

    Raises:
        AnnotationError: a property is not finite.
        OutputError: the file cannot be written.
    """
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        head = json.dumps({"type": "FeatureCollection", "features": []}).removesuffix("]}")
        file.write(head)
        separator = "\n"
        for layer in annotations.layers:
            for shape in layer.shapes:
                file.write(separator + _feature(layer, shape, path))
                separator = ",\n"
        file.write("\n]}\n")


def read_geojson(path: Path) -> Annotations:
    """Reads a FeatureCollection, a list of features or one feature.

    A layer is called after the classification of its features, else after their name; points and
    lines are left out, and the log counts them.

    Raises:
        AnnotationError: it is something else, or holds what cannot be on a slide.
    """
    return features_of(parse_json(read_limited(path), path), path)


def is_geojson(document: object) -> bool:
    """Whether parsed JSON claims to be GeoJSON."""
    first = document[0] if isinstance(document, list) and document else document
    return isinstance(first, dict) and first.get("type") in ("FeatureCollection", "Feature")


def features_of(document: object, source: str | Path) -> Annotations:
    """The annotations in parsed GeoJSON; see `read_geojson`."""
    features = document.get("features") if isinstance(document, dict) else document
    if isinstance(document, dict) and document.get("type") == "Feature":
        features = [document]
    if not isinstance(features, list):
        raise AnnotationError(source, "is not a GeoJSON feature collection")
    gatherer = LayerGatherer(source)
    for place, feature in enumerate(features, start=1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise AnnotationError(source, f"feature {place} is not a GeoJSON feature")
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        name, colour = _class_of(properties)
        found = list(_polygons(feature.get("geometry"), gatherer, f"feature {place}", source))
        if found:
            gatherer.open(name, colour)
        for polygon in found:
            gatherer.add(name, polygon, _values(properties))
    return gatherer.annotations()


def _feature(layer: Layer, shape: Shape, path: Path) -> str:
    # RFC 7946 wants outlines counterclockwise by the numbers, holes clockwise.
    polygon = shapely.orient_polygons(shape.polygon, exterior_cw=False)
    rings = [polygon.exterior, *polygon.interiors]
    values = shape.properties
    feature = {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [
                np.round(shapely.get_coordinates(ring), DECIMALS).tolist() for ring in rings
            ],
        },
        "properties": {
            "objectType": "annotation",
            "classification": {"name": layer.name, "color": list(layer.colour)},
            "measurements": {k: v for k, v in values.items() if not isinstance(v, str)},
            "metadata": {k: v for k, v in values.items() if isinstance(v, str)},
        },
    }
    try:
        return json.dumps(feature, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise AnnotationError(path, "a point or a measurement is not a finite number") from error


def _class_of(properties: Json) -> tuple[str, Rgb | None]:
    given = properties.get("classification")
    given = {"name": given} if isinstance(given, str) else given
    given = given if isinstance(given, dict) else {}
    name = given.get("name") or properties.get("name") or UNNAMED
    colour = given.get("color", properties.get("color"))
    if isinstance(given.get("colorRGB"), int):  # QuPath until 0.2: 0xAARRGGBB as a signed integer
        packed = given["colorRGB"]
        colour = [packed >> 16 & 255, packed >> 8 & 255, packed & 255]
    if (
        isinstance(colour, list)
        and len(colour) >= 3
        and all(isinstance(v, int) and 0 <= v <= 255 for v in colour)
    ):
        return str(name), (colour[0], colour[1], colour[2])
    return str(name), None


def _polygons(
    geometry: object, gatherer: LayerGatherer, where: str, source: str | Path
) -> Iterator[shapely.Polygon]:
    """The polygons of a geometry; what encloses no area is counted."""
    if not isinstance(geometry, dict):
        raise AnnotationError(source, f"{where} has no geometry")
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        gatherer.skip(str(kind))
        return
    parts = geometry.get("coordinates")
    for part in [parts] if kind == "Polygon" else parts if isinstance(parts, list) else [parts]:
        if not isinstance(part, list) or not part:
            raise AnnotationError(source, f"{where} has a polygon without outline")
        outside, *holes = (coordinates(ring, where, source) for ring in part)
        if len(outside) < 3:
            gatherer.skip("Polygon of fewer than three points")
        else:
            yield shapely.Polygon(outside, [hole for hole in holes if len(hole) >= 3])


def _values(properties: Json) -> Mapping[str, Property]:
    """Measurements, in either of QuPath's forms, and metadata."""
    measurements = properties.get("measurements")
    if isinstance(measurements, list):  # QuPath until 0.3: [{"name": ..., "value": ...}, ...]
        measurements = {
            str(m.get("name")): m.get("value") for m in measurements if isinstance(m, dict)
        }
    metadata = properties.get("metadata")
    found: dict[str, Property] = {}
    for key, value in (measurements if isinstance(measurements, dict) else {}).items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[str(key)] = value
    for key, value in (metadata if isinstance(metadata, dict) else {}).items():
        if isinstance(value, str):
            found[str(key)] = value
    return found
