"""Annotations as HistomicsUI keeps them: a JSON list, one annotation per layer.

The server checks an element of the same form as the one before it many times faster than another,
so elements with holes come after those without, and all carry the same keys.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import shapely

from deeplab.annotations.gather import (
    LayerGatherer,
    coordinates,
    ellipse,
    number,
    parse_json,
    read_limited,
    rectangle,
)
from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations, Layer, Property, Shape
from deeplab.config.classes import Rgb, parse_colour
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file

DECIMALS = 2  # a hundredth of a level-0 pixel
FILL = 0.25  # opacity; the tissue under it stays visible
Json = dict[str, Any]


def write_girder_json(
    path: Path, annotations: Annotations, *, heatmaps: Sequence[Heatmap] = ()
) -> None:
    """Writes a file that HistomicsUI takes in: the layers, then the heatmaps.

    Raises:
        AnnotationError: something in `annotations` cannot be an annotation of HistomicsUI.
        OutputError: the file cannot be written.
    """
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write("[")
        separator = ""
        for layer in annotations.layers:
            file.write(separator)
            _write_layer(file, layer, annotations.attributes, path)
            separator = ",\n"
        for heatmap in heatmaps:
            file.write(separator + _dumps(heatmap.annotation(), path))
            separator = ",\n"
        file.write("]\n")


def read_girder_json(path: Path) -> Annotations:
    """Reads a file of HistomicsUI annotations.

    Raises:
        AnnotationError: it is none, or holds what cannot be on a slide.
    """
    return annotations_of(parse_json(read_limited(path), path), path)


def annotations_of(documents: object, source: str | Path = "annotations") -> Annotations:
    """The annotations in parsed JSON: one annotation or a list, bare or as a server sends them.

    A layer is called after its annotation; the group of an element, where it is another name, is
    kept among the element's properties. Open lines of three and more points are closed.

    Raises:
        AnnotationError: it is something else, or holds what cannot be on a slide.
    """
    entries = documents if isinstance(documents, list) else [documents]
    gatherer = LayerGatherer(source)
    attributes: dict[str, object] = {}
    for place, entry in enumerate(entries, start=1):
        annotation = entry.get("annotation", entry) if isinstance(entry, dict) else entry
        if not isinstance(annotation, dict) or not isinstance(annotation.get("elements"), list):
            raise AnnotationError(source, f"entry {place} is not an annotation with elements")
        own = annotation.get("attributes")
        attributes.update(own if isinstance(own, dict) else {})
        _take_layer(gatherer, annotation, str(annotation.get("name") or f"layer {place}"), source)
    return gatherer.annotations(attributes)


def _write_layer(file: TextIO, layer: Layer, attributes: Mapping[str, object], path: Path) -> None:
    if not layer.name.strip():
        raise AnnotationError(path, "a layer without a name cannot be written")
    head = {
        "name": layer.name,
        "description": layer.description,
        "attributes": dict(attributes),
        "elements": [],
    }
    file.write(_dumps(head, path).removesuffix("]}") + "\n")
    separator = ""
    for text in _elements(layer, path):
        file.write(separator + text)
        separator = ",\n"
    file.write("]}")


def _elements(layer: Layer, path: Path) -> Iterator[str]:
    """The JSON of each shape, those of one form together."""
    red, green, blue = layer.colour
    style = {
        "type": "polyline",
        "closed": True,
        "fillColor": f"rgba({red}, {green}, {blue}, {FILL})",
        "lineColor": f"rgb({red}, {green}, {blue})",
        "lineWidth": 2,
        "group": layer.name,
        "label": {"value": layer.name},
    }
    fixed = _dumps(style, path).removesuffix("}")
    keys = sorted({key for shape in layer.shapes for key in shape.properties})

    def form(shape: Shape) -> tuple[bool, list[str]]:
        return len(shape.polygon.interiors) > 0, [k for k in keys if k in shape.properties]

    for shape in sorted(layer.shapes, key=form):
        points = _points(shape.polygon.exterior, path)
        holes = [_points(ring, path) for ring in shape.polygon.interiors]
        user = _dumps({key: shape.properties[key] for key in form(shape)[1]}, path)
        more = f',"holes":[{",".join(holes)}]' if holes else ""
        yield f'{fixed},"points":{points},"user":{user}{more}}}'


def _points(ring: shapely.LinearRing, path: Path) -> str:
    """The corners of a ring as JSON [[x, y, 0], ...], the first not repeated."""
    corners = shapely.get_coordinates(ring)[:-1]
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise AnnotationError(path, "an outline has too few points or one that is not a number")
    rounded = np.round(corners, DECIMALS)
    whole = (rounded == np.floor(rounded)).all()
    pairs = (rounded.astype(np.int64) if whole else rounded).tolist()
    # Two numbers a point go through the fast encoder; the third is always 0.
    text = json.dumps(pairs, separators=(",", ":"))
    return text[:-1].replace("]", ",0]") + "]"


def _dumps(value: object, path: Path) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AnnotationError(path, f"a property cannot be written as JSON: {error}") from error


def _take_layer(gatherer: LayerGatherer, annotation: Json, name: str, source: str | Path) -> None:
    colour: Rgb | None = None
    gatherer.open(name, description=str(annotation.get("description") or ""))
    for place, element in enumerate(annotation["elements"], start=1):
        where = f"element {place} of {name!r}"
        if not isinstance(element, dict):
            raise AnnotationError(source, f"{where} is not an object")
        if colour is None and (colour := _colour(element.get("lineColor"))):
            gatherer.open(name, colour)
        polygon = _polygon(element, where, source)
        if polygon is None:
            gatherer.skip(str(element.get("type")))
        else:
            gatherer.add(name, polygon, _properties(element, name))


def _colour(value: object) -> Rgb | None:
    """A colour as browsers write it, opacity left out; None where it is missing or strange."""
    if not isinstance(value, str):
        return None
    if value.startswith("#") and len(value) in (5, 9):
        value = value[:4] if len(value) == 5 else value[:7]
    try:
        return parse_colour(value)
    except ConfigError:
        return None


def _polygon(element: Json, where: str, source: str | Path) -> shapely.Polygon | None:
    """The area that an element encloses; None where its type encloses none."""
    kind = element.get("type")
    if kind == "polyline":
        points = coordinates(element.get("points"), where, source)
        holes = element.get("holes") or []
        if not isinstance(holes, list):
            raise AnnotationError(source, f"the holes of {where} are not a list")
        rings = [coordinates(hole, f"a hole of {where}", source) for hole in holes]
        if len(points) < 3:
            return None
        return shapely.Polygon(points, [ring for ring in rings if len(ring) >= 3])
    if kind not in ("rectangle", "rectanglegrid", "ellipse", "circle"):
        return None
    ((x, y),) = coordinates([element.get("center")], f"the centre of {where}", source).tolist()
    if kind == "circle":
        radius = _size(element, "radius", where, source)
        return ellipse(x, y, radius, radius)
    width, height = (_size(element, key, where, source) for key in ("width", "height"))
    rotation = number(element.get("rotation", 0), f"the rotation of {where}", source)
    if kind in ("rectangle", "rectanglegrid"):
        return rectangle(x, y, width, height, rotation)
    return ellipse(x, y, width / 2, height / 2, rotation)


def _size(element: Json, key: str, where: str, source: str | Path) -> float:
    value = number(element.get(key), f"the {key} of {where}", source)
    if value < 0:
        raise AnnotationError(source, f"the {key} of {where} is below 0")
    return value


def _properties(element: Json, name: str) -> dict[str, Property]:
    user = element.get("user")
    found: dict[str, Property] = {
        str(key): value
        for key, value in (user if isinstance(user, dict) else {}).items()
        if isinstance(value, str)
        or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
    }
    group = element.get("group")
    if isinstance(group, str) and group not in ("", name):
        found["group"] = group
    return found
