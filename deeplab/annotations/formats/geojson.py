"""Annotations as GeoJSON, in the dialect that QuPath reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import shapely

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer, coordinates, number
from deeplab.annotations.formats.geojson_properties import NAME, PropertyReader
from deeplab.annotations.formats.json_stream import ENDS, events, values
from deeplab.annotations.rounding import round_corners, round_mark
from deeplab.annotations.shapes import Annotations, Layer, Mark, Shape, one_area
from deeplab.config.convert_request import ObjectType
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

UM_PER_PIXEL = "um_per_pixel"
LISTS = ("map_key", "start_array", "end_array", "end_map", "null")
SINGLE = ("Polygon", "Point", "LineString")
SEVERAL = {f"Multi{kind}": kind for kind in SINGLE}
GEOMETRY_MEMBERS = frozenset({"coordinates", "geometries"})  # one of them in each geometry
NUCLEUS = "nucleusGeometry"  # of a cell of QuPath, whose geometry is its membrane
MEMBERS = frozenset({"type", "id", "bbox", "geometry", "properties", NUCLEUS})  # of a feature
NUCLEI_OF = "nuclei of "
Part: TypeAlias = shapely.Polygon | shapely.Point | shapely.LineString
Json = dict[str, Any]


def write_geojson(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Writes a FeatureCollection: one object of QuPath per shape, point or line.

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
                file.write(separator + _feature(layer, each, writing.object_type, path))
                separator = ",\n"
        file.write("\n]}\n")


def read_geojson(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads a FeatureCollection, a list of features, one feature or geometry, one by one.

    A layer is called after the classification of its features, else after the first of other
    properties that name a class. Points and lines are marks.

    Raises:
        AnnotationError: it is something else, or holds what cannot be on a slide.
    """
    gatherer = LayerGatherer.of(path, reading)
    reader = PropertyReader(reading.classes)
    prefix, mpp = _head(path, gatherer)
    for place, feature in enumerate(values(path, prefix), start=1):
        with gatherer.sparing():
            _take(feature, reader, gatherer, f"feature {place}", path)
    for remark in reader.remarks():
        gatherer.say(remark)
    return gatherer.annotations(mpp=mpp)


def _head(path: Path, gatherer: LayerGatherer) -> tuple[str, Mpp | None]:
    """Under which prefix the features are, and the scale if it is said before them."""
    scale: list[object] = []
    for place, (prefix, event, value) in enumerate(events(path)):
        if not place and event == "start_array":
            return "item", None
        if prefix in ("geometry", *GEOMETRY_MEMBERS):
            return "", None
        if prefix == UM_PER_PIXEL and event not in LISTS:
            gatherer.skip_scale(value)
        elif prefix == f"{UM_PER_PIXEL}.item" and event not in ENDS:
            scale.append({} if event == "start_map" else value)
        if (prefix, event) == ("features", "start_array"):
            return "features.item", _mpp(scale, gatherer)
    raise AnnotationError(path, "is not a GeoJSON feature collection")


def _mpp(scale: Sequence[object], gatherer: LayerGatherer) -> Mpp | None:
    if not scale:
        return None
    try:
        x, y = (number(each, UM_PER_PIXEL, "") for each in scale)
        return Mpp(x, y)
    except (AnnotationError, ConfigError, ValueError):  # not two, or none
        gatherer.skip_scale(scale)
        return None


def _take(
    feature: object, reader: PropertyReader, gatherer: LayerGatherer, where: str, path: Path
) -> None:
    """Puts the parts of a feature into its layer, and the nucleus of a cell into one of its own."""
    if isinstance(feature, dict) and GEOMETRY_MEMBERS & feature.keys():
        feature = {"type": "Feature", "geometry": feature}  # bare, which RFC 7946 allows
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise AnnotationError(path, f"{where} is not a GeoJSON feature")
    drawn = {"": list(_parts(feature.get("geometry"), gatherer, where, path))}
    if feature.get(NUCLEUS) is not None:
        drawn[NUCLEI_OF] = list(_parts(feature[NUCLEUS], gatherer, where, path))
    if not any(drawn.values()):
        return
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    meaning = reader.read({k: v for k, v in feature.items() if k not in MEMBERS} | properties)
    for of, parts in drawn.items():
        layer = of + meaning.name
        if parts:
            gatherer.open(layer, meaning.colour)
        # A feature is one object of QuPath, of however many polygons.
        if area := one_area([part for part in parts if isinstance(part, shapely.Polygon)]):
            gatherer.add(layer, area, meaning.words)
        for part in parts:
            if not isinstance(part, shapely.Polygon):
                gatherer.mark(layer, part, meaning.words)


def _feature(layer: Layer, each: Shape | Mark, object_type: ObjectType, path: Path) -> str:
    texts = {key: value for key, value in each.properties.items() if isinstance(value, str)}
    own = {NAME: texts.pop(NAME)} if NAME in texts else {}
    feature = {
        "type": "Feature",
        "geometry": _geometry(each),
        "properties": {
            "objectType": object_type,
            **own,
            "classification": {"name": layer.name, "color": list(layer.colour)},
            "measurements": {k: v for k, v in each.properties.items() if not isinstance(v, str)},
            "metadata": texts,
        },
    }
    try:
        return json.dumps(feature, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise AnnotationError(path, "a point or a measurement is not a finite number") from error


def _geometry(each: Shape | Mark) -> Json:
    if isinstance(each, Mark):
        points = _points(round_mark(each.geometry))
        if isinstance(each.geometry, shapely.Point):
            return {"type": "Point", "coordinates": points[0]}
        return {"type": "LineString", "coordinates": points}
    # RFC 7946 wants outlines counterclockwise by the numbers, holes clockwise.
    area = shapely.orient_polygons(round_corners(each.polygon), exterior_cw=False)
    parts = [
        [_points(ring) for ring in (part.exterior, *part.interiors)]
        for part in shapely.get_parts(area)
    ]
    if len(parts) > 1:
        return {"type": "MultiPolygon", "coordinates": parts}
    return {"type": "Polygon", "coordinates": parts[0]}


def _points(geometry: shapely.Geometry) -> list[list[float]]:
    found: list[list[float]] = shapely.get_coordinates(geometry).tolist()
    return found


def _parts(
    geometry: object, gatherer: LayerGatherer, where: str, source: str | Path
) -> Iterator[Part]:
    """Yield the polygons, points and lines of a geometry; what is none of these is counted."""
    if geometry is None:  # RFC 7946, section 3.2: a feature that is nowhere
        gatherer.skip("feature without a place")
        return
    if not isinstance(geometry, dict):
        raise AnnotationError(source, f"{where} has no geometry")
    kind, given = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        members = geometry.get("geometries")
        for member in members if isinstance(members, list) else []:
            yield from _parts(member, gatherer, where, source)
    elif kind not in (*SINGLE, *SEVERAL):  # compared one by one: it may be a list
        gatherer.skip(f"geometry of type {kind}")
    elif given == []:  # section 3.1: as good as none
        gatherer.skip(f"{kind} without coordinates")
    elif kind in SINGLE:
        yield from _part(kind, given, gatherer, where, source)
    elif not isinstance(given, list):
        raise AnnotationError(source, f"{where} has a {kind} without coordinates")
    else:
        for one in given:
            parts: list[Part] = []
            with gatherer.sparing():
                parts += _part(SEVERAL[kind], one, gatherer, where, source)
            yield from parts


def _part(
    kind: str, given: object, gatherer: LayerGatherer, where: str, source: str | Path
) -> Iterator[Part]:
    if kind == "Point":
        yield shapely.Point(coordinates([given], where, source)[0])
    elif kind == "LineString":
        points = coordinates(given, where, source)
        if len(points) > 1:
            yield shapely.LineString(points)
        else:
            gatherer.skip("line of one point")
    elif not isinstance(given, list) or not given:
        raise AnnotationError(source, f"{where} has a polygon without outline")
    else:
        outside, *holes = (coordinates(ring, where, source) for ring in given)
        if len(outside) < 3:
            gatherer.skip("polygon of fewer than three points")
        else:
            yield shapely.Polygon(outside, [hole for hole in holes if len(hole) >= 3])
