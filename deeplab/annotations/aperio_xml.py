"""Annotations as Aperio ImageScope keeps them: XML, one `Annotation` element per layer."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from lxml import etree
from numpy.typing import NDArray

from deeplab.annotations.format import Reading
from deeplab.annotations.gather import (
    FARTHEST,
    LayerGatherer,
    ellipse,
    read_limited,
)
from deeplab.annotations.shapes import Annotations, Layer, polygon_parts
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp

POLYGON, RECTANGLE, ELLIPSE = "0", "1", "2"
OTHER_TYPES = {"3": "arrow", "4": "ruler or line", "5": "point"}
# One call for all vertices of a region: files hold millions.
VERTEX_X = etree.XPath("Vertices/Vertex/@X", smart_strings=False)
VERTEX_Y = etree.XPath("Vertices/Vertex/@Y", smart_strings=False)
HEADERS = (
    ("9999", "Region"),
    ("9997", "Length"),
    ("9996", "Area"),
    ("9998", "Text"),
    ("1", "Description"),
)


def read_aperio_xml(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads an ImageScope file; excluded regions become holes of the shapes they lie in.

    A layer is called by the annotation's name, else by the name of its first attribute.
    MicronsPerPixel, where it is above 0, is the um per pixel.

    Raises:
        AnnotationError: it is not such a file, declares entities, or holds what cannot be on a
            slide.
    """
    root = _parse(read_limited(path), path)
    gatherer = LayerGatherer(path, spill=reading.spill)
    for place, annotation in enumerate(root.iterfind("Annotation"), start=1):
        name = _name(annotation) or f"layer {place}"
        gatherer.open(name, _colour(annotation.get("LineColor")))
        for polygon, text in _shapes(annotation, gatherer, name, path):
            gatherer.add(name, polygon, {"text": text} if text else {})
    return gatherer.annotations(mpp=_mpp(root.get("MicronsPerPixel"), path))


def _mpp(text: str | None, path: Path) -> Mpp | None:
    try:
        scale = float(text or 0)
        return Mpp.square(scale) if scale > 0 else None
    except (ValueError, ConfigError) as error:
        raise AnnotationError(path, f"MicronsPerPixel is {text}, which is no scale") from error


def write_aperio_xml(path: Path, annotations: Annotations) -> None:
    """Writes a file that ImageScope opens; holes become excluded regions of their own.

    Without um per pixel lengths in um are left at 0.

    Raises:
        OutputError: the file cannot be written.
    """
    mpp = annotations.mpp
    scale = str(round(mpp.mean, 6)) if mpp else "0"
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        file.write(_tag("Annotations", {"MicronsPerPixel": scale}) + "\n")
        for place, layer in enumerate(annotations.layers, start=1):
            file.writelines(_layer_lines(layer, place, mpp))
        file.write("</Annotations>\n")


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
    texts = [VERTEX_X(region), VERTEX_Y(region)]
    if len(texts[0]) != len(texts[1]):
        raise AnnotationError(path, f"{where} has a vertex without X or Y")
    try:
        vertices = np.array([list(map(float, text)) for text in texts]).T
    except ValueError as error:
        raise AnnotationError(path, f"{where} has a vertex that is not a number") from error
    if not (np.abs(vertices) <= FARTHEST).all():
        raise AnnotationError(path, f"{where} has a vertex that is not on a slide")
    return vertices


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


def _layer_lines(layer: Layer, place: int, mpp: Mpp | None) -> Iterator[str]:
    """The lines of one `Annotation` element."""
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
    yield _tag("Annotation", attributes) + "\n<Attributes>"
    yield _tag("Attribute", {"Name": layer.name, "Id": "0", "Value": ""}, end="/>")
    yield "</Attributes>\n<Regions><RegionAttributeHeaders>"
    for header, name in HEADERS:
        fields = {"Id": header, "Name": name, "ColumnWidth": "-1"}
        yield _tag("AttributeHeader", fields, end="/>")
    yield "</RegionAttributeHeaders>\n"
    number = 0
    for shape in layer.shapes:
        text = str(shape.properties.get("text", ""))
        for hole, ring in enumerate([shape.polygon.exterior, *shape.polygon.interiors]):
            number += 1
            own = {"Text": text, "NegativeROA": str(int(hole > 0))}
            yield _region(ring, number, own, mpp)
    yield "</Regions><Plots/></Annotation>\n"


def _region(ring: shapely.LinearRing, number: int, more: Mapping[str, str], mpp: Mpp | None) -> str:
    """A `Region` element for an outline or a hole."""
    corners = shapely.get_coordinates(ring)
    steps = np.diff(corners, axis=0)
    um = np.array([mpp.x, mpp.y]) if mpp else np.zeros(2)
    area = shapely.Polygon(ring).area
    attributes = {
        "Id": str(number),
        "Type": POLYGON,
        "Zoom": "1",
        "Selected": "0",
        "ImageLocation": "",
        "ImageFocus": "-1",
        "Length": f"{np.hypot(*steps.T).sum():.2f}",
        "Area": f"{area:.2f}",
        "LengthMicrons": f"{np.hypot(*(steps * um).T).sum():.2f}",
        "AreaMicrons": f"{area * um.prod():.2f}",
        "InputRegionId": "0",
        "Analyze": "1",
        "DisplayId": str(number),
        **more,
    }
    vertices = "".join(f'<Vertex X="{x:.2f}" Y="{y:.2f}" Z="0"/>' for x, y in corners[:-1].tolist())
    head = _tag("Region", attributes)
    return f"{head}<Attributes/><Vertices>{vertices}</Vertices></Region>\n"


def _tag(name: str, attributes: Mapping[str, str], end: str = ">") -> str:
    fields = (f' {key}="{_escape(value)}"' for key, value in attributes.items())
    return f"<{name}{''.join(fields)}{end}"


def _escape(text: str) -> str:
    """Text as the value of an attribute; control characters have no place in XML."""
    kept = "".join(c if c >= " " and c not in "\ufffe\uffff" else " " for c in text)
    return html.escape(kept.encode("utf-8", "replace").decode())
