"""Annotations as GeoJSON, in the dialect that QuPath reads and writes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from deeplab.annotations.format import Reading
from deeplab.annotations.gather import LayerGatherer, coordinates, number
from deeplab.annotations.json_stream import events, values
from deeplab.annotations.shapes import Annotations, Layer, Mark, Property, Shape
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

DECIMALS = 2  # a hundredth of a level-0 pixel
UNNAMED = "unclassified"
UM_PER_PIXEL = "um_per_pixel"
MARKS = ("Point", "MultiPoint", "LineString", "MultiLineString")
Json = dict[str, Any]


def write_geojson(path: Path, annotations: Annotations) -> None:
    """Writes a FeatureCollection: one annotation object of QuPath per shape, point or line.

    Numbers among the properties become measurements, words metadata. The um per pixel is a member
    `um_per_pixel` of the collection, which other programs pass over (RFC 7946, section 6.1). Layers
    without shapes and their descriptions have no place in this format.

    Raises:
        AnnotationError: a property is not finite.
        OutputError: the file cannot be written.
    """
    head: Json = {"type": "FeatureCollection"}
    if annotations.mpp:
        head[UM_PER_PIXEL] = [annotations.mpp.x, annotations.mpp.y]
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head | {"features": []}).removesuffix("]}"))
        separator = "\n"
        for layer in annotations.layers:
            for each in chain[Shape | Mark](layer.shapes, layer.marks):
                file.write(separator + _feature(layer, each, path))
                separator = ",\n"
        file.write("\n]}\n")


def read_geojson(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads a FeatureCollection, a list of features or one feature, one by one.

    A layer is called after the classification of its features, else after their name. Points and
    lines are marks.

    Raises:
        AnnotationError: it is something else, or holds what cannot be on a slide.
    """
    gatherer = LayerGatherer(path, spill=reading.spill)
    prefix, mpp = _head(path)
    for place, feature in enumerate(values(path, prefix), start=1):
        _take(feature, gatherer, f"feature {place}", path)
    return gatherer.annotations(mpp=mpp)


def _head(path: Path) -> tuple[str, Mpp | None]:
    """Under which prefix the features are, and the scale if it is said before them."""
    scale: list[float] = []
    for prefix, event, value in events(path):
        if (prefix, event) == ("", "start_array"):
            return "item", None
        if prefix == "geometry":
            return "", None
        if prefix == f"{UM_PER_PIXEL}.item":
            scale.append(number(value, UM_PER_PIXEL, path))
        if (prefix, event) == ("features", "start_array"):
            return "features.item", _mpp(scale, path)
    raise AnnotationError(path, "is not a GeoJSON feature collection")


def _mpp(scale: Sequence[float], path: Path) -> Mpp | None:
    if not scale:
        return None
    try:
        return Mpp(*scale)
    except (ConfigError, TypeError) as error:
        raise AnnotationError(path, f"{UM_PER_PIXEL} is not two scales: {error}") from error


def _take(feature: object, gatherer: LayerGatherer, where: str, path: Path) -> None:
    """Puts the parts of a feature into its layer."""
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise AnnotationError(path, f"{where} is not a GeoJSON feature")
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    name, colour = _class_of(properties)
    polygons = list(_polygons(feature.get("geometry"), gatherer, where, path))
    marks = list(_marks(feature["geometry"], where, path))
    if polygons or marks:
        gatherer.open(name, colour)
    words = _values(properties) if polygons or marks else {}
    for polygon in polygons:
        gatherer.add(name, polygon, words)
    for mark in marks:
        gatherer.mark(name, mark, words)


def _feature(layer: Layer, each: Shape | Mark, path: Path) -> str:
    words = each.properties
    feature = {
        "type": "Feature",
        "geometry": _geometry(each),
        "properties": {
            "objectType": "annotation",
            "classification": {"name": layer.name, "color": list(layer.colour)},
            "measurements": {k: v for k, v in words.items() if not isinstance(v, str)},
            "metadata": {k: v for k, v in words.items() if isinstance(v, str)},
        },
    }
    try:
        return json.dumps(feature, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise AnnotationError(path, "a point or a measurement is not a finite number") from error


def _geometry(each: Shape | Mark) -> Json:
    if isinstance(each, Mark):
        points = _points(each.geometry)
        if isinstance(each.geometry, shapely.Point):
            return {"type": "Point", "coordinates": points[0]}
        return {"type": "LineString", "coordinates": points}
    # RFC 7946 wants outlines counterclockwise by the numbers, holes clockwise.
    polygon = shapely.orient_polygons(each.polygon, exterior_cw=False)
    rings = [polygon.exterior, *polygon.interiors]
    return {"type": "Polygon", "coordinates": [_points(ring) for ring in rings]}


def _points(geometry: shapely.Geometry) -> list[list[float]]:
    found: list[list[float]] = np.round(shapely.get_coordinates(geometry), DECIMALS).tolist()
    return found


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
    """The polygons of a geometry; what is neither area nor mark is counted."""
    if not isinstance(geometry, dict):
        raise AnnotationError(source, f"{where} has no geometry")
    kind = geometry.get("type")
    if kind in MARKS:
        return
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


def _marks(
    geometry: Json, where: str, source: str | Path
) -> Iterator[shapely.Point | shapely.LineString]:
    """The points and lines of a geometry."""
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind in ("Point", "MultiPoint"):
        points = [given] if kind == "Point" else given
        yield from map(shapely.Point, coordinates(points, where, source))
    elif kind in ("LineString", "MultiLineString"):
        for line in [given] if kind == "LineString" else given if isinstance(given, list) else []:
            points = coordinates(line, where, source)
            if len(points) > 1:
                yield shapely.LineString(points)


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
