"""Annotations as Aperio ImageScope keeps them: XML, one `Annotation` element per layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from lxml import etree
from numpy.typing import NDArray

from deeplab.annotations.gather import (
    FARTHEST,
    LayerGatherer,
    ellipse,
    read_limited,
)
from deeplab.annotations.shapes import Annotations, Layer, polygon_parts
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

POLYGON, RECTANGLE, ELLIPSE = "0", "1", "2"
OTHER_TYPES = {"3": "arrow", "4": "ruler or line", "5": "point"}
HEADERS = (
    ("9999", "Region"),
    ("9997", "Length"),
    ("9996", "Area"),
    ("9998", "Text"),
    ("1", "Description"),
)


def read_aperio_xml(path: Path) -> Annotations:
    """Reads an ImageScope file; excluded regions become holes of the shapes they lie in.

    A layer is called by the annotation's name, else by the name of its first attribute.
    `attributes` of the result holds MicronsPerPixel where the file states it.

    Raises:
        AnnotationError: it is not such a file, declares entities, or holds what cannot be on a
            slide.
    """
    root = _parse(read_limited(path), path)
    gatherer = LayerGatherer(path)
    for place, annotation in enumerate(root.iterfind("Annotation"), start=1):
        name = _name(annotation) or f"layer {place}"
        gatherer.open(name, _colour(annotation.get("LineColor")))
        for polygon, text in _shapes(annotation, gatherer, name, path):
            gatherer.add(name, polygon, {"text": text} if text else {})
    mpp = root.get("MicronsPerPixel")
    return gatherer.annotations({"MicronsPerPixel": mpp} if mpp else {})


def write_aperio_xml(path: Path, annotations: Annotations, mpp: Mpp | None = None) -> None:
    """Writes a file that ImageScope opens; holes become excluded regions of their own.

    Args:
        path: where to.
        annotations: what.
        mpp: the slide's um per level-0 pixel; without it lengths in um are left at 0.

    Raises:
        OutputError: the file cannot be written.
    """
    scale = str(round(mpp.mean, 6)) if mpp else "0"
    with whole_file(path) as part, etree.xmlfile(str(part), encoding="UTF-8") as file:
        file.write_declaration()
        with file.element("Annotations", MicronsPerPixel=scale):
            for place, layer in enumerate(annotations.layers, start=1):
                _write_layer(file, layer, place, mpp)


def _parse(content: bytes, path: Path) -> Any:  # noqa: ANN401  lxml has no types
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_pis=True
    )
    try:
        tree = etree.parse(BytesIO(content), parser)
    except etree.XMLSyntaxError as error:
        raise AnnotationError(path, f"is not XML that can be read: {error.msg}") from error
    # ImageScope writes no document type; one can only be there to declare entities.
    if tree.docinfo.doctype or tree.docinfo.internalDTD is not None:
        raise AnnotationError(path, "declares a document type or entities, which is not allowed")
    root = tree.getroot()
    if root.tag != "Annotations":
        raise AnnotationError(path, f"is not an ImageScope file: it begins with <{root.tag}>")
    return root


def _name(annotation: Any) -> str:  # noqa: ANN401  lxml has no types
    attributes = annotation.iterfind("Attributes/Attribute")
    names = [annotation.get("Name"), *(attribute.get("Name") for attribute in attributes)]
    return next((name.strip() for name in names if name and name.strip()), "")


def _colour(text: str | None) -> Rgb | None:
    """Red, green, blue of an integer 0xBBGGRR."""
    try:
        packed = int(text or "")
    except ValueError:
        return None
    return packed & 255, packed >> 8 & 255, packed >> 16 & 255


def _shapes(
    annotation: Any,  # noqa: ANN401  lxml has no types
    gatherer: LayerGatherer,
    name: str,
    path: Path,
) -> Iterator[tuple[shapely.Polygon, str]]:
    """Each shape of a layer without what is excluded from it, and its text."""
    shapes: list[shapely.Polygon] = []
    texts: list[str] = []
    excluded: list[shapely.Polygon] = []
    for place, region in enumerate(annotation.iterfind("Regions/Region"), start=1):
        kind = region.get("Type", POLYGON)
        if kind not in (POLYGON, RECTANGLE, ELLIPSE):
            gatherer.skip(OTHER_TYPES.get(kind, kind))
            continue
        polygon = _outline(_vertices(region, f"region {place} of {name!r}", path), kind)
        if polygon is None:
            gatherer.skip("region of too few vertices")
        elif region.get("NegativeROA") == "1":
            excluded.append(polygon)
        else:
            shapes.append(polygon)
            texts.append((region.get("Text") or "").strip())
    yield from _exclude(shapes, texts, excluded, gatherer)


def _exclude(
    shapes: list[shapely.Polygon],
    texts: list[str],
    excluded: list[shapely.Polygon],
    gatherer: LayerGatherer,
) -> Iterator[tuple[shapely.Polygon, str]]:
    """Cuts the excluded regions out of the shapes that they meet."""
    holes: defaultdict[int, list[shapely.Polygon]] = defaultdict(list)
    tree = shapely.STRtree(shapes)
    for hole in map(shapely.make_valid, excluded):
        met = tree.query(hole)
        for index in met:
            holes[int(index)].append(hole)
        if not len(met):
            gatherer.skip("excluded region outside of all others")
    for index, (polygon, text) in enumerate(zip(shapes, texts, strict=True)):
        if index not in holes:
            yield polygon, text
            continue
        left = shapely.difference(shapely.make_valid(polygon), shapely.union_all(holes[index]))
        for part in polygon_parts(left):
            yield part, text


def _vertices(region: Any, where: str, path: Path) -> NDArray[np.float64]:  # noqa: ANN401  lxml
    found: list[tuple[float, float]] = []
    for vertex in region.iterfind("Vertices/Vertex"):
        try:
            x, y = float(vertex.get("X", "")), float(vertex.get("Y", ""))
        except ValueError as error:
            raise AnnotationError(path, f"{where} has a vertex that is not a number") from error
        if not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
            raise AnnotationError(path, f"{where} has a vertex that is not on a slide")
        found.append((x, y))
    return np.array(found, np.float64).reshape(-1, 2)


def _outline(vertices: NDArray[np.float64], kind: str) -> shapely.Polygon | None:
    """The area of a region; rectangles and ellipses may be given by two opposite corners."""
    if len(vertices) < 2:
        return None
    (left, top), (right, bottom) = vertices.min(axis=0), vertices.max(axis=0)
    if kind == ELLIPSE:
        return ellipse(
            (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
        )
    if kind == RECTANGLE and len(vertices) == 2:
        return shapely.box(left, top, right, bottom)
    return shapely.Polygon(vertices) if len(vertices) >= 3 else None


def _write_layer(
    file: Any,  # noqa: ANN401  lxml has no types
    layer: Layer,
    place: int,
    mpp: Mpp | None,
) -> None:
    red, green, blue = layer.colour
    attributes = {
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
    with file.element("Annotation", attributes):
        with file.element("Attributes"):
            file.write(etree.Element("Attribute", Name=layer.name, Id="0", Value=""))
        with file.element("Regions"):
            headers = etree.Element("RegionAttributeHeaders")
            for header, name in HEADERS:
                etree.SubElement(headers, "AttributeHeader", Id=header, Name=name, ColumnWidth="-1")
            file.write(headers)
            for region in _regions(layer, mpp):
                file.write(region)
        file.write(etree.Element("Plots"))


def _regions(layer: Layer, mpp: Mpp | None) -> Iterator[Any]:
    """A `Region` element for each outline and each hole."""
    number = 0
    for shape in layer.shapes:
        text = str(shape.properties.get("text", ""))
        for hole, ring in enumerate([shape.polygon.exterior, *shape.polygon.interiors]):
            number += 1
            yield _region(ring, number, {"Text": text, "NegativeROA": str(int(hole > 0))}, mpp)


def _region(ring: shapely.LinearRing, number: int, more: Mapping[str, str], mpp: Mpp | None) -> Any:  # noqa: ANN401  lxml has no types
    corners = shapely.get_coordinates(ring)
    steps = np.diff(corners, axis=0)
    um = np.array([mpp.x, mpp.y]) if mpp else np.zeros(2)
    area = shapely.Polygon(ring).area
    region = etree.Element(
        "Region",
        {
            "Id": str(number),
            "Type": POLYGON,
            "Zoom": "1",
            "Selected": "0",
            "ImageLocation": "",
            "ImageFocus": "-1",
            "Length": _decimal(np.hypot(*steps.T).sum()),
            "Area": _decimal(area),
            "LengthMicrons": _decimal(np.hypot(*(steps * um).T).sum()),
            "AreaMicrons": _decimal(area * um.prod()),
            "InputRegionId": "0",
            "Analyze": "1",
            "DisplayId": str(number),
            **more,
        },
    )
    etree.SubElement(region, "Attributes")
    vertices = etree.SubElement(region, "Vertices")
    for x, y in corners[:-1].tolist():
        etree.SubElement(vertices, "Vertex", X=_decimal(x), Y=_decimal(y), Z="0")
    return region


def _decimal(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
