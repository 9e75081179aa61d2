"""Annotations as HistomicsUI keeps them: a JSON list, one annotation per layer.

The server checks an element of the same form as the one before it many times faster than another,
so elements with holes come after those without, and all carry the same keys.
"""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import shapely
from ijson.common import ObjectBuilder
from numpy.typing import NDArray

from deeplab.annotations.formats.format import FindLabelImage, Reading
from deeplab.annotations.formats.gather import (
    LayerGatherer,
    browser_colour,
    coordinates,
    ellipse,
    number,
    rectangle,
)
from deeplab.annotations.formats.json_stream import ENDS, events, values
from deeplab.annotations.formats.pixelmap import PIXELMAP, take_pixelmap
from deeplab.annotations.heatmap import HEATMAP, Heatmap
from deeplab.annotations.pieces import PIECE, Piece, missing_pieces
from deeplab.annotations.rounding import round_corners, round_mark
from deeplab.annotations.shapes import Annotations, Layer, Mark, Property, Shape
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

FILL = 0.25  # opacity; the tissue under it stays visible
UM_PER_PIXEL = "um_per_pixel"  # [x, y], among the attributes
COLOUR = "lineColor"  # among the attributes of a layer that has no element to show it
CORRECTED = "corrected"  # among the attributes: who says that a person has corrected this layer
NO_ANNOTATION = "is not an annotation with elements"
INNER = (("elements", "item"), ("annotation", "elements", "item"))
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileAnnotation:
    """An entry of a file, which should be an annotation, without its elements.

    Attributes:
        annotation: what else it holds; empty where the entry is no object.
        prefix: of the elements in the file, as ijson writes it; None: it is not an annotation with
            elements, so that it cannot be read.
        elements: their number.
        element_types: as the elements say them.
        id: of the annotation on the server that sent it; "" where none did.
    """

    annotation: Json
    prefix: str | None = None
    elements: int = 0
    element_types: frozenset[str] = frozenset()
    id: str = ""


def write_girder_json(
    path: Path, annotations: Annotations, *, heatmaps: Sequence[Heatmap] = ()
) -> None:
    """Writes a file that HistomicsUI takes in: the layers, then the heatmaps.

    A layer that is a piece of another one by its name and the attributes has the group and labels
    of the other one.

    Raises:
        AnnotationError: something in `annotations` cannot be an annotation of HistomicsUI.
        OutputError: the file cannot be written.
    """
    attributes = dict(annotations.attributes)
    if annotations.mpp:
        attributes[UM_PER_PIXEL] = [annotations.mpp.x, annotations.mpp.y]
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write("[")
        separator = ""
        for layer in annotations.layers:
            file.write(separator)
            _write_layer(file, layer, attributes, path)
            separator = ",\n"
        for heatmap in heatmaps:
            file.write(separator + _dumps(heatmap.annotation(attributes), path))
            separator = ",\n"
        file.write("]\n")


def read_girder_json(
    path: Path,
    reading: Reading = Reading(),
    *,
    entries: Sequence[FileAnnotation] | None = None,
    is_chosen: Callable[[FileAnnotation], bool] = lambda _: True,
) -> Annotations:
    """Reads a file of HistomicsUI annotations, one or a list, element by element.

    They are bare or as a server sends them. A layer is called after its annotation, or after the
    layer that this is a piece of; the group of an element, where it is another name, is kept among
    the element's properties. Open lines of three and more points are closed; shorter ones, arrows
    and points are marks. A pixelmap becomes layers called after its categories.

    Args:
        path: of the file.
        reading: how it is read.
        entries: what `annotations_in` has found in the file; None: it is looked through first.
        is_chosen: tells of an entry whether it is to be read.

    Raises:
        AnnotationError: it is none, or holds what cannot be on a slide.
    """
    gatherer = LayerGatherer.of(path, reading)
    there = annotations_in(path) if entries is None else entries
    chosen = [each for each in there if each.prefix is not None and is_chosen(each)]
    found = _streamed(path, gatherer, there, is_chosen)
    annotations = _gathered(found, gatherer, path, reading.label_image)
    return replace(annotations, ids=_ids_of(chosen))


def _ids_of(entries: Iterable[FileAnnotation]) -> dict[str, tuple[str, ...]]:
    """Return the ids of annotations that a server sent, by the names of their layers."""
    found: dict[str, tuple[str, ...]] = {}
    for place, entry in enumerate(entries, start=1):
        layer = _piece_at(place, entry.annotation).layer
        if entry.id:
            found[layer] = (*found.get(layer, ()), entry.id)
    return found


def _piece_at(place: int, head: Json) -> Piece:
    """Return which layer, or piece of one, an annotation is; without a name by its place."""
    return Piece.of(str(head.get("name") or f"layer {place}"), head.get("attributes"))


def read_heatmap_points(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the points of the heatmaps in a file, by the names of their classes.

    They are (n, 3): x and y in level-0 pixels, and a value of 0 to 1; none where no place of the
    slide has one.

    Raises:
        AnnotationError: the file is no JSON, or a heatmap has points that cannot be on a slide, or
            values that are no probabilities.
    """
    found: dict[str, NDArray[np.float64]] = {}
    entries = annotations_in(path)
    if not any(map(_is_heatmap, entries)):
        return found  # elements, which may be millions, are not gone through again
    gatherer = LayerGatherer.of(path, Reading())
    for head, elements in _streamed(path, gatherer, entries, _is_heatmap):
        layer = str(head.get("name"))
        points = [_heat(each, f"the heatmap of {layer!r}", path) for each in elements]
        name = layer.removesuffix(HEATMAP)
        found[name] = np.concatenate([found.get(name, np.zeros((0, 3))), *points])
    return found


def _is_heatmap(entry: FileAnnotation) -> bool:
    if entry.element_types:
        return entry.element_types == {"heatmap"}
    return entry.prefix is not None and str(entry.annotation.get("name")).endswith(HEATMAP)


def _heat(element: object, where: str, source: Path) -> NDArray[np.float64]:
    """Return x and y, level-0 pixels, and the probability of each point (n, 3)."""
    points = element.get("points") if isinstance(element, dict) else None
    if not isinstance(points, list) or not all(
        isinstance(point, list) and len(point) == 4 for point in points
    ):
        raise AnnotationError(source, f"{where} is not a list of points [x, y, z, value]")
    places = coordinates([point[:2] for point in points], where, source)
    values = coordinates([point[2:] for point in points], where, source)[:, 1:]
    if ((values < 0) | (values > 1)).any():
        raise AnnotationError(source, f"{where} has a value that is not 0 to 1")
    return np.concatenate([places, values], axis=1)


def _gathered(
    found: Iterable[tuple[Json, Iterable[object]]],
    gatherer: LayerGatherer,
    source: str | Path,
    label_image: FindLabelImage,
) -> Annotations:
    """Annotations of heads and elements."""
    attributes: dict[str, object] = {}
    pieces: list[Piece] = []
    for place, (head, elements) in enumerate(found, start=1):
        own = head.get("attributes")
        attributes.update(own if isinstance(own, dict) else {})
        pieces.append(_piece_at(place, head))
        name = pieces[-1].layer
        gatherer.open(
            name, browser_colour(attributes.pop(COLOUR, None)), str(head.get("description") or "")
        )
        _take_layer(gatherer, elements, name, source, label_image)
    for own in (PIECE, CORRECTED):  # which one layer says of itself, and not of the others
        attributes.pop(own, None)
    for remark in missing_pieces(pieces):
        gatherer.say(remark)
    return gatherer.annotations(attributes, _mpp(attributes.pop(UM_PER_PIXEL, None), gatherer))


def _streamed(
    path: Path,
    gatherer: LayerGatherer,
    entries: Sequence[FileAnnotation],
    is_chosen: Callable[[FileAnnotation], bool],
) -> Iterator[tuple[Json, Iterable[object]]]:
    """Yield the chosen annotations with their elements; a name may be written after these."""
    prefixes = {entry.prefix for entry in entries if entry.prefix is not None}
    if len(prefixes) > 1:
        raise AnnotationError(path, "holds annotations in two forms, bare and as a server sends")
    elements = values(path, prefixes.pop()) if prefixes else iter(())
    for number_, entry in enumerate(entries, start=1):
        if entry.prefix is None and is_chosen(entry):
            gatherer.leave_out(f"entry {number_} {NO_ANNOTATION}")
    for entry in entries:
        own = islice(elements, entry.elements)
        if entry.prefix is not None and is_chosen(entry):
            yield entry.annotation, own
        else:
            deque(own, maxlen=0)  # the next one's come after them


def annotations_in(path: Path) -> list[FileAnnotation]:
    """Return the entries of a file, one or a list, in their order.

    Raises:
        AnnotationError: it is no JSON, or cannot be read element by element.
    """
    entries: list[FileAnnotation] = []
    stream = events(path)
    first = next(stream)
    in_list = first[1] == "start_array"
    root = "item" if in_list else ""
    places = tuple(".".join(filter(None, (root, *inner))) for inner in INNER)
    types = tuple(f"{place}.type" for place in places)
    builder, counts, kinds = ObjectBuilder(), Counter[str](), set[str]()
    depth = 0  # of containers: the value of a key without letters has its parent's prefix
    for prefix, event, value in stream if in_list else chain([first], stream):
        if in_list and not prefix:
            break  # the list is at its end
        if prefix.startswith(places):  # a hundred events an element come here
            if prefix in places and event not in (*ENDS, "map_key"):
                counts[prefix] += 1
            elif prefix in types:
                kinds.add(str(value))
            continue
        builder.event(event, value)
        depth += event.startswith("start_") - event.startswith("end_")
        if depth == 0:
            whole = builder.value
            told = whole.get("annotation", whole) if isinstance(whole, dict) else {}
            annotation = told if isinstance(told, dict) else {}
            if isinstance(annotation.get("elements"), list):
                own = places[annotation is not whole]
                told_id = str(whole.get("_id") or "")
                entry = FileAnnotation(annotation, own, counts[own], frozenset(kinds), told_id)
            elif counts:  # what stands in its place would be taken for that of another
                raise AnnotationError(path, f"entry {len(entries) + 1} {NO_ANNOTATION}")
            else:
                entry = FileAnnotation(annotation)
            entries.append(entry)
            builder, counts, kinds = ObjectBuilder(), Counter(), set()
    return entries


def _mpp(scale: object, gatherer: LayerGatherer) -> Mpp | None:
    if scale is None:
        return None
    both = scale if isinstance(scale, list) and len(scale) == 2 else [scale]
    try:
        x, y = (number(each, UM_PER_PIXEL, "") for each in (both * 2)[:2])
        return Mpp(x, y)
    except (AnnotationError, ConfigError):
        gatherer.skip_scale(scale)
        return None


def _write_layer(file: TextIO, layer: Layer, attributes: Mapping[str, object], path: Path) -> None:
    if not layer.name.strip():
        raise AnnotationError(path, "a layer without a name cannot be written")
    own = dict(attributes)
    if not layer.shapes and not layer.marks:
        own[COLOUR] = _rgb(layer.colour)
    head = {
        "name": layer.name,
        "description": layer.description,
        "attributes": own,
        "elements": [],
    }
    file.write(_dumps(head, path).removesuffix("]}") + "\n")
    separator = ""
    for text in _elements(layer, Piece.of(layer.name, attributes).layer, path):
        file.write(separator + text)
        separator = ",\n"
    file.write("]}")


def _elements(layer: Layer, group: str, path: Path) -> Iterator[str]:
    """Yield the JSON of each shape and mark, those of one form together."""
    red, green, blue = layer.colour
    style = {
        "lineColor": _rgb(layer.colour),
        "lineWidth": 2,
        "group": group,
        "label": {"value": group},
    }
    filled = {
        "type": "polyline",
        "closed": True,
        "fillColor": f"rgba({red}, {green}, {blue}, {FILL if layer.is_tinted else 0})",
    }
    fixed = _dumps(filled | style, path).removesuffix("}")
    forms = sorted({_form(part, shape) for part, shape in _pieces(layer)})
    for form in forms:
        # Once through for each form: the shapes may be on disk, and too many to be sorted.
        for part, shape in _pieces(layer):
            if len(forms) > 1 and _form(part, shape) != form:
                continue
            polygon = round_corners(part)
            points = _points(polygon.exterior, path)
            holes = [_points(ring, path) for ring in polygon.interiors]
            user = _dumps({key: shape.properties[key] for key in form.keys}, path)
            more = f',"holes":[{",".join(holes)}]' if holes else ""
            yield f'{fixed},"points":{points},"user":{user}{more}}}'
    for mark in layer.marks:
        yield _dumps(_mark(mark) | style | {"user": dict(mark.properties)}, path)


@dataclass(frozen=True, slots=True, order=True)
class _Form:
    """What decides whether the server takes an element for one like its neighbour."""

    holes: bool
    keys: tuple[str, ...]


def _pieces(layer: Layer) -> Iterator[tuple[shapely.Polygon, Shape]]:
    """Return the polygons of all shapes, each an element: a polyline is one outline."""
    return ((part, shape) for shape in layer.shapes for part in shape.parts)


def _form(part: shapely.Polygon, shape: Shape) -> _Form:
    return _Form(len(part.interiors) > 0, tuple(sorted(shape.properties)))


def _mark(mark: Mark) -> Json:
    points = [[*point, 0] for point in shapely.get_coordinates(round_mark(mark.geometry)).tolist()]
    if isinstance(mark.geometry, shapely.Point):
        return {"type": "point", "center": points[0]}
    return {"type": "polyline", "closed": False, "points": points}


def _points(ring: shapely.LinearRing, path: Path) -> str:
    """Return the corners of a ring as JSON [[x, y, 0], ...], the first not repeated."""
    corners = shapely.get_coordinates(ring)[:-1]
    if len(corners) < 3 or not np.isfinite(corners).all():
        raise AnnotationError(path, "an outline has too few points or one that is not a number")
    whole = (corners == np.floor(corners)).all()
    pairs = (corners.astype(np.int64) if whole else corners).tolist()
    # Two numbers a point go through the fast encoder; the third is always 0.
    text = json.dumps(pairs, separators=(",", ":"))
    return text[:-1].replace("]", ",0]") + "]"


def _dumps(value: object, path: Path) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AnnotationError(path, f"a property cannot be written as JSON: {error}") from error


def _take_layer(
    gatherer: LayerGatherer,
    elements: Iterable[object],
    name: str,
    source: str | Path,
    label_image: FindLabelImage,
) -> None:
    colour: Rgb | None = None
    for place, element in enumerate(elements, start=1):
        with gatherer.sparing():
            where = f"element {place} of {name!r}"
            if not isinstance(element, dict):
                raise AnnotationError(source, f"{where} is not an object")
            if colour is None and (colour := browser_colour(element.get("lineColor"))):
                gatherer.open(name, colour)
            _take(gatherer, element, name, where, label_image)


def _take(
    gatherer: LayerGatherer, element: Json, name: str, where: str, label_image: FindLabelImage
) -> None:
    """Puts what an element stands for into its layer."""
    source = gatherer.source
    if element.get("type") == PIXELMAP:
        take_pixelmap(element, label_image, gatherer, where, source)
        return
    polygon = _polygon(element, where, source)
    if polygon is not None:
        gatherer.add(name, polygon, _properties(element, name))
    elif geometry := _marked(element, where, source):
        gatherer.mark(name, geometry, _properties(element, name))
    else:
        gatherer.skip(f"element of type {element.get('type')}")


def _marked(
    element: Json, where: str, source: str | Path
) -> shapely.Point | shapely.LineString | None:
    """Return the point or line that an element marks; None where it marks none."""
    kind = element.get("type")
    if kind == "point":
        (place,) = coordinates([element.get("center")], f"the centre of {where}", source)
        return shapely.Point(place)
    if kind in ("polyline", "arrow"):
        points = coordinates(element.get("points"), where, source)
        return shapely.LineString(points) if len(points) == 2 else None
    return None


def _rgb(colour: Rgb) -> str:
    return "rgb({}, {}, {})".format(*colour)


def _polygon(element: Json, where: str, source: str | Path) -> shapely.Polygon | None:
    """Return the area that an element encloses; None where its type encloses none."""
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
