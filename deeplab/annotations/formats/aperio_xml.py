"""Annotations as Aperio ImageScope keeps them: XML, one `Annotation` element per layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from lxml import etree
from numpy.typing import NDArray

from deeplab.annotations.formats.exclusions import ANY, Exclusions
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.gather import LayerGatherer, ellipse
from deeplab.annotations.formats.xml_stream import (
    check_root,
    corner_fields,
    elements,
    points,
    tag,
    written_number,
)
from deeplab.annotations.rounding import round_corners, round_mark
from deeplab.annotations.shapes import Annotations, Layer, Mark, Property, Shape
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

ROOT = "Annotations"
TAGS = (ROOT, "Annotation", "AttributeHeader", "Region")
PARTS_OF_LAYER = ("Attributes", "Regions", "Plots")
PARTS_OF_REGIONS = ("RegionAttributeHeaders", "Region")
POLYGON, RECTANGLE, ELLIPSE, ARROW, LINE, POINT = "0", "1", "2", "3", "4", "5"
# One call for all vertices of a region: files hold millions.
# HALO writes the same files, but with vertices called V and types in words.
VERTEX_X = etree.XPath("Vertices/Vertex/@X | Vertices/V/@X", smart_strings=False)
VERTEX_Y = etree.XPath("Vertices/Vertex/@Y | Vertices/V/@Y", smart_strings=False)
WORDS = {
    "polygon": POLYGON,
    "rectangle": RECTANGLE,
    "ellipse": ELLIPSE,
    "ruler": LINE,
    "pin": POINT,
}
TEXT = "text"  # the property that a region's Text is
DESCRIPTION = "Description"  # what ImageScope calls the attribute that it gives to each layer
HEADERS = {
    "9999": "Region",
    "9997": "Length",
    "9996": "Area",
    "9998": "Text",
    "1": DESCRIPTION,
}

Vertices = NDArray[np.float64]  # (vertices, 2) as x, y in level-0 pixels


def read_aperio_xml(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads an ImageScope file; excluded regions become holes of the shapes that they meet.

    The file is read twice, as what is excluded may stand behind the shapes it is excluded from.

    Raises:
        AnnotationError: it is not such a file, declares entities, or holds what cannot be on a
            slide.
    """
    check_root(path, ROOT, "an ImageScope")
    gatherer = LayerGatherer.of(path, reading)
    scale, heads = _read_heads(path)
    for head in heads:
        gatherer.open(head.name, head.colour, head.description)
    _read_regions(path, heads, gatherer)
    for head in heads:
        for _ in range(head.exclusions.unmet):
            gatherer.skip("excluded region outside of all others")
        for problem in head.exclusions.problems:
            gatherer.leave_out(problem)
    mpp, remarks = _scale(scale)
    found = gatherer.annotations(mpp=mpp)
    return replace(found, remarks=(*found.remarks, *remarks))


def write_aperio_xml(path: Path, annotations: Annotations) -> None:
    """Writes a file that ImageScope opens; holes become excluded regions of their own.

    Raises:
        OutputError: the file cannot be written.
    """
    mpp = annotations.mpp
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(tag(ROOT, {"MicronsPerPixel": f"{mpp.mean if mpp else 0:.6f}"}) + "\n")
        for place, layer in enumerate(annotations.layers, start=1):
            file.writelines(_layer_lines(layer, place, mpp))
        file.write(f"</{ROOT}>\n")


@dataclass(slots=True)
class _Head:
    """What is known of a layer before its shapes are read."""

    name: str
    colour: Rgb | None = None
    description: str = ""
    exclusions: Exclusions = field(default_factory=Exclusions)


def _read_heads(path: Path) -> tuple[str, list[_Head]]:
    """Return the text of the scale, and of each layer all but the shapes."""
    scale = ""
    heads: list[_Head] = []
    number = owner = 0
    own_id = ""
    for event, element in elements(path, TAGS):
        if event == "start" and element.tag == ROOT:
            scale = element.get("MicronsPerPixel", "")
        elif event == "start" and element.tag == "Annotation":
            heads.append(_Head(f"layer {len(heads) + 1}"))
            number, own_id = 0, ""
        elif event == "end" and element.tag == "Region" and heads:
            number += 1
            if element.get("NegativeROA") == "1":
                of_last = own_id and element.get("InputRegionId") == own_id
                with suppress(AnnotationError):  # left out, and counted, where shapes are read
                    area = _area(element, _vertices(element, number, heads[-1], path))
                    if area is not None:
                        heads[-1].exclusions.add(area, owner if of_last else ANY)
            else:
                # Only of its own holes a file written here says that they are of the last region.
                owner = number
                own_id = element.get("Id", "") if element.get("InputRegionId") == "0" else ""
        elif event == "end" and element.tag == "Annotation":
            _complete(heads[-1], element)
    return scale, heads


def _complete(head: _Head, annotation: Any) -> None:  # noqa: ANN401  lxml has no types
    """A layer is called after its annotation, else its first attribute, else its description.

    "Layer 7" of the annotation 7 is what ImageScope calls a layer that nobody named.
    """
    attributes = [
        (element.get("Name", "").strip(), element.get("Value", "").strip())
        for element in annotation.iterfind("Attributes/Attribute")
    ]
    given = annotation.get("Name", "").strip()
    is_automatic = given == f"Layer {annotation.get('Id')}"
    names = ["" if is_automatic else given]
    names += [name for name, _ in attributes if name != DESCRIPTION]
    named = next(filter(None, names), "")
    described = next((value for name, value in attributes if name == DESCRIPTION), "")
    head.name = named or described or given or head.name
    said = [
        value if name in (DESCRIPTION, head.name) else f"{name}: {value}"
        for name, value in attributes
        if value and (named or name != DESCRIPTION)
    ]
    head.description = "; ".join(said)
    head.colour = _colour(annotation.get("LineColor", ""))


def _read_regions(path: Path, heads: Sequence[_Head], gatherer: LayerGatherer) -> None:
    place = -1
    number = 0
    headers: dict[str, str] = {}
    for event, element in elements(path, TAGS):
        if event == "start" and element.tag == "Annotation":
            place, number, headers = place + 1, 0, {}
        elif event == "end" and element.tag == "Annotation" and not number:
            for stranger in _strangers(element):
                gatherer.skip(f"element <{stranger}>, which ImageScope does not write")
        elif event == "end" and element.tag == "AttributeHeader":
            headers[element.get("Id", "")] = element.get("Name", "")
        elif event == "end" and element.tag == "Region":
            number += 1
            if place < 0:
                gatherer.skip("region outside of all layers")
                continue
            with gatherer.sparing():
                vertices = _vertices(element, number, heads[place], path)
                _take(element, number, vertices, headers, heads[place], gatherer)


def _strangers(annotation: Any) -> Iterator[str]:  # noqa: ANN401  lxml has no types
    """Give the tags in a layer that stand where its regions should, as if written in lower case."""
    for child in annotation:
        if child.tag not in PARTS_OF_LAYER:
            yield child.tag
    for child in annotation.iterfind("Regions/*"):
        if child.tag not in PARTS_OF_REGIONS:
            yield child.tag


def _take(
    region: Any,  # noqa: ANN401  lxml has no types
    number: int,
    vertices: Vertices,
    headers: Mapping[str, str],
    head: _Head,
    gatherer: LayerGatherer,
) -> None:
    """Puts what a region stands for into its layer."""
    properties = _properties(region, headers)
    kind = _kind(region)
    area = _area(region, vertices)
    if kind not in AREAS and kind not in (ARROW, LINE, POINT):
        gatherer.skip(f"region of type {kind}")
    elif not len(vertices):
        gatherer.skip("region without vertices")
    elif region.get("NegativeROA") == "1":
        if area is None:
            gatherer.skip("excluded region without area")
    elif area is not None:
        cut = partial(head.exclusions.cut, number=number)
        gatherer.add(head.name, area, properties, cut=cut)
    elif kind == POINT or len(vertices) == 1:
        for vertex in vertices:
            gatherer.mark(head.name, shapely.Point(vertex), properties)
    else:
        gatherer.mark(head.name, shapely.LineString(vertices), properties)


def _kind(region: Any) -> str:  # noqa: ANN401  lxml has no types
    told = (region.get("Type") or POLYGON).strip()
    return WORDS.get(told.lower(), told)


def _vertices(region: Any, number: int, head: _Head, path: Path) -> Vertices:  # noqa: ANN401  lxml
    where = f"region {number} of {head.name!r}"
    return points((VERTEX_X(region), VERTEX_Y(region)), where, path)


def _area(region: Any, vertices: Vertices) -> shapely.Polygon | None:  # noqa: ANN401  lxml
    """Return what a region encloses, where it is of a type that does."""
    outline = AREAS.get(_kind(region))
    return outline(vertices) if outline and len(vertices) >= 2 else None


def _polygon(vertices: Vertices) -> shapely.Polygon | None:
    return shapely.Polygon(vertices) if len(vertices) >= 3 else None


def _rectangle(vertices: Vertices) -> shapely.Polygon | None:
    """Return a rectangle may be given by two opposite corners."""
    if len(vertices) > 2:
        return _polygon(vertices)
    return shapely.box(*vertices.min(axis=0), *vertices.max(axis=0))


def _ellipse(vertices: Vertices) -> shapely.Polygon | None:
    """Return an ellipse is given by corners of its bounds, or drawn with many vertices."""
    if len(vertices) > 4:
        return _polygon(vertices)
    radius = np.ptp(vertices, axis=0) / 2
    return ellipse(*(vertices.min(axis=0) + radius), *radius)


AREAS: Mapping[str, Callable[[Vertices], shapely.Polygon | None]] = {
    POLYGON: _polygon,
    RECTANGLE: _rectangle,
    ELLIPSE: _ellipse,
}


def _properties(region: Any, headers: Mapping[str, str]) -> dict[str, Property]:  # noqa: ANN401  lxml
    """Return a region's text, and its attributes, called by name or by the number of a header."""
    found: dict[str, Property] = {}
    for element in region.iterfind("Attributes/Attribute"):
        name, value = element.get("Name", ""), element.get("Value", "")
        if headers.get(element.get("Id", "")) != name:
            name = headers.get(name, name)
        if name and value:
            found[name] = _value(value)
    text = region.get("Text", "").strip()
    return {TEXT: text, **found} if text else found


def _value(text: str) -> Property:
    """Return the number that is written so, else the text."""
    for kind in (int, float):
        try:
            value: int | float = kind(text)
            if str(value) == text and math.isfinite(value):
                return value
        except (ValueError, OverflowError):  # a whole number may be too large for a float
            continue
    return text


def _colour(text: str) -> Rgb | None:
    """Red, green, blue of an integer 0xBBGGRR."""
    try:
        packed = int(text)
    except ValueError:
        return None
    return packed & 255, packed >> 8 & 255, packed >> 16 & 255


def _scale(text: str) -> tuple[Mpp | None, tuple[str, ...]]:
    """The um per pixel, and what is to be said of it; ImageScope writes 0 where it knows none."""
    try:
        value = written_number(text or "0")
        return (Mpp.square(value) if value else None), ()
    except (ValueError, ConfigError):
        return None, (f"MicronsPerPixel is {text[:40]!r}, which is no scale and was left out",)


def _layer_lines(layer: Layer, place: int, mpp: Mpp | None) -> Iterator[str]:
    """Yield the lines of one `Annotation` element."""
    yield tag("Annotation", _annotation_fields(layer, place)) + "\n<Attributes>"
    yield tag("Attribute", {"Name": layer.name, "Id": "0", "Value": ""}, end="/>")
    if layer.description:
        said = {"Name": DESCRIPTION, "Id": "1", "Value": layer.description}
        yield tag("Attribute", said, end="/>")
    yield "</Attributes>\n<Regions><RegionAttributeHeaders>"
    headers = _headers(layer)
    for name, header in headers.items():
        fields = {"Id": header, "Name": name, "ColumnWidth": "-1"}
        yield tag("AttributeHeader", fields, end="/>")
    yield "</RegionAttributeHeaders>\n"
    for number, region in enumerate(_regions(layer), start=1):
        yield from _region_lines(region, number, headers, mpp)
    yield "</Regions><Plots/></Annotation>\n"


def _annotation_fields(layer: Layer, place: int) -> dict[str, str]:
    red, green, blue = layer.colour
    return {
        "Id": str(place),
        "Name": layer.name,
        "ReadOnly": "0",
        "NameReadOnly": "0",
        "LineColorReadOnly": "0",
        "Incremental": "0",
        "Type": "4",
        "LineColor": str(red | green << 8 | blue << 16),
        "Visible": "1",
        "Selected": "0",
        "MarkupImagePath": "",
        "MacroName": "",
    }


def _headers(layer: Layer) -> dict[str, str]:
    """Numbers of the columns of ImageScope's table, and of one for each property."""
    headers = {name: number for number, name in HEADERS.items()}
    for item in chain[Shape | Mark](layer.shapes, layer.marks):
        for name in item.properties:
            if name != TEXT and name not in headers:
                headers[name] = str(len(headers) - len(HEADERS) + 2)
    return headers


@dataclass(frozen=True, slots=True)
class _Region:
    kind: str
    geometry: shapely.Point | shapely.LineString  # a LinearRing where it encloses an area
    properties: Mapping[str, Property]
    hole_of: int = 0  # the number of a region; 0: it is no hole


def _regions(layer: Layer) -> Iterator[_Region]:
    """Yield the regions that stand for a layer's shapes, each before its holes, and marks."""
    number = 1
    for shape in layer.shapes:
        for part in map(round_corners, shape.parts):
            yield _Region(POLYGON, part.exterior, shape.properties)
            for hole in part.interiors:
                yield _Region(POLYGON, hole, {}, hole_of=number)
            number += 1 + len(part.interiors)
    for mark in layer.marks:
        kind = POINT if isinstance(mark.geometry, shapely.Point) else LINE
        yield _Region(kind, round_mark(mark.geometry), mark.properties)


def _region_lines(
    region: _Region, number: int, headers: Mapping[str, str], mpp: Mpp | None
) -> Iterator[str]:
    """Yield the lines of one `Region` element."""
    corners = shapely.get_coordinates(region.geometry)
    yield tag("Region", _region_fields(region, corners, number, mpp))
    own = {name: value for name, value in region.properties.items() if name != TEXT}
    yield "<Attributes>" if own else "<Attributes/>"
    for name, value in own.items():
        fields = {"Name": name, "Id": headers[name], "Value": str(value)}
        yield tag("Attribute", fields, end="/>")
    yield "</Attributes><Vertices>" if own else "<Vertices>"
    kept = corners[:-1] if region.kind == POLYGON else corners
    yield "".join(f'<Vertex {fields} Z="0"/>' for fields in corner_fields(kept))
    yield "</Vertices></Region>\n"


def _region_fields(
    region: _Region, corners: Vertices, number: int, mpp: Mpp | None
) -> dict[str, str]:
    steps = np.diff(corners, axis=0)
    um = np.array([mpp.x, mpp.y]) if mpp else np.zeros(2)
    area = shapely.Polygon(corners).area if region.kind == POLYGON else 0.0
    return {
        "Id": str(number),
        "Type": region.kind,
        "Zoom": "1",
        "Selected": "0",
        "ImageLocation": "",
        "ImageFocus": "-1",
        "Length": f"{np.hypot(*steps.T).sum():.2f}",
        "Area": f"{area:.2f}",
        "LengthMicrons": f"{np.hypot(*(steps * um).T).sum():.2f}",
        "AreaMicrons": f"{area * um.prod():.2f}",
        "Text": str(region.properties.get(TEXT, "")),
        "NegativeROA": str(int(region.hole_of > 0)),
        "InputRegionId": str(region.hole_of),
        "Analyze": "1",
        "DisplayId": str(number),
    }
