"""Annotations as ASAP keeps them, and the CAMELYON data sets: XML, layers as groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from lxml import etree
from numpy.typing import NDArray

from deeplab.annotations.formats.exclusions import ANY, Exclusions
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.gather import LayerGatherer
from deeplab.annotations.formats.xml_stream import check_root, corner_fields, elements, points, tag
from deeplab.annotations.rounding import round_corners, round_mark
from deeplab.annotations.shapes import Annotations, Layer, Mark, Property, Shape
from deeplab.config.classes import Rgb, hex_colour, parse_colour
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file

ROOT = "ASAP_Annotations"
TAGS = ("Annotation", "Group")
X = etree.XPath("Coordinates/Coordinate/@X", smart_strings=False)
Y = etree.XPath("Coordinates/Coordinate/@Y", smart_strings=False)
ORDER = etree.XPath("Coordinates/Coordinate/@Order", smart_strings=False)
NO_GROUP = "None"
UNNAMED = "unclassified"  # the layer of what is in no group
HOLES = " (holes)"  # a group of this ending is cut out of the group it is part of
HOLE_OF = "hole of "  # then the name of the annotation before, where it is a hole of that alone
# The groups of CAMELYON16 and 17 that hold what is not part of others; they stay layers as well.
CUT_OUT_OF = {"_2": ("_0", "_1"), "normal": ("metastases",)}
DESCRIPTION = "description"  # the attribute of a group that a layer's description is
TEXT = "text"  # the property that an annotation's name is
NUMBERED = re.compile(r"Annotation \d+")  # what ASAP calls an annotation that nobody named
SPLINE_STEPS = 8  # points for each piece of a curve

Points = NDArray[np.float64]  # (points, 2) as x, y in level-0 pixels


def read_asap_xml(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads a file of ASAP; a group is a layer, and so is a group within a group.

    The file is read twice, as groups stand behind the shapes that are in them.

    Raises:
        AnnotationError: it is not such a file, declares entities, or holds what cannot be on a
            slide.
    """
    check_root(path, ROOT, "an ASAP")
    gatherer = LayerGatherer.of(path, reading)
    groups = _read_groups(path)
    for name, group in groups.items():
        if not group.is_holes:
            gatherer.open(name, group.colour, group.description)
    for number, annotation in enumerate(_annotations(path), start=1):
        name = _known(_group_name(annotation), groups)
        with gatherer.sparing():
            found = _Found(annotation, number, _corners(annotation, number, path))
            if not groups[name].is_holes:
                _take(found, name, groups[name].exclusions, gatherer)
    for group in groups.values():
        for _ in range(group.exclusions.unmet):
            gatherer.skip("hole outside of all shapes")
        for problem in group.exclusions.problems:
            gatherer.leave_out(problem)
    return gatherer.annotations()


def write_asap_xml(path: Path, annotations: Annotations) -> None:
    """Writes a file that ASAP opens; the holes of a layer become a group that is part of its own.

    Raises:
        OutputError: the file cannot be written.
    """
    numbers = count()
    hole_groups = _hole_groups(annotations.layers)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{ROOT}>\n<Annotations>\n')
        for layer in annotations.layers:
            colour = hex_colour(layer.colour)
            for drawn in _drawings(layer, hole_groups.get(_called(layer), ""), numbers):
                file.writelines(_annotation_lines(drawn, colour))
        file.write("</Annotations>\n<AnnotationGroups>\n")
        known: set[str] = set()
        for layer in annotations.layers:
            if _called(layer) not in known:
                file.writelines(_group_lines(layer, hole_groups.get(_called(layer), "")))
                known.add(_called(layer))
        file.write(f"</AnnotationGroups>\n</{ROOT}>\n")


@dataclass(slots=True)
class _Group:
    colour: Rgb | None = None
    description: str = ""
    part_of: str = ""
    is_holes: bool = False
    exclusions: Exclusions = field(default_factory=Exclusions)


def _annotations(path: Path) -> Iterator[Any]:
    for event, element in elements(path, TAGS):
        if event == "end" and element.tag == "Annotation":
            yield element


def _read_groups(path: Path) -> dict[str, _Group]:
    """Return the groups that are listed, those that are only used, and what is cut out of them."""
    used: dict[str, _Group] = {}
    groups: dict[str, _Group] = {}
    for event, element in elements(path, TAGS):
        if event == "start":
            continue
        if element.tag == "Group":
            groups.setdefault(element.get("Name", "").strip() or UNNAMED, _group(element))
        else:
            used.setdefault(_group_name(element), _Group(_colour(element)))
    for name, group in used.items():
        name = _known(name, groups)
        groups.setdefault(name, group)
        groups[name].colour = groups[name].colour or group.colour
    for name, group in groups.items():
        # Blanks between them may stem from what XML cannot hold.
        ending = name.removeprefix(group.part_of).replace(HOLES.strip(), "").strip()
        group.is_holes = group.part_of in groups and group.part_of != name and not ending
    _read_exclusions(path, groups)
    return groups


def _read_exclusions(path: Path, groups: Mapping[str, _Group]) -> None:
    cut: dict[str, list[Exclusions]] = {
        name: [groups[group.part_of].exclusions] for name, group in groups.items() if group.is_holes
    }
    for name, others in CUT_OUT_OF.items():
        if name in groups:
            cut[name] = [groups[other].exclusions for other in others if other in groups]
    if not any(cut.values()):
        return
    owner, own_name = ANY, ""
    for number, annotation in enumerate(_annotations(path), start=1):
        name = _known(_group_name(annotation), groups)
        if name in cut:
            of_last = groups[name].is_holes and annotation.get("Name") == HOLE_OF + own_name
            with suppress(AnnotationError):  # left out, and counted, where shapes are read
                area = _area(annotation, _corners(annotation, number, path))
                for exclusions in cut[name] if area is not None else ():
                    exclusions.add(area, owner if of_last else ANY)
        else:
            owner, own_name = number, annotation.get("Name", "")


def _group(element: Any) -> _Group:  # noqa: ANN401  lxml has no types
    said = [
        value if key == DESCRIPTION else f"{key}: {value}"
        for attribute in element.iterfind("Attributes/Attribute")
        for key, value in attribute.items()
        if value.strip()
    ]
    return _Group(_colour(element), "; ".join(said), element.get("PartOfGroup", "").strip())


def _group_name(annotation: Any) -> str:  # noqa: ANN401  lxml has no types
    return annotation.get("PartOfGroup", "").strip() or NO_GROUP


def _known(name: str, groups: Mapping[str, _Group]) -> str:
    """A group may well be called None; only where there is none of that name it means no group."""
    return UNNAMED if name == NO_GROUP and name not in groups else name


def _colour(element: Any) -> Rgb | None:  # noqa: ANN401  lxml has no types
    try:
        return parse_colour(element.get("Color", ""))
    except ConfigError:
        return None


@dataclass(frozen=True, slots=True)
class _Found:
    annotation: Any
    number: int
    corners: Points


def _take(found: _Found, name: str, exclusions: Exclusions, gatherer: LayerGatherer) -> None:
    """Puts what an annotation stands for into its layer."""
    corners = found.corners
    kind = _kind(found.annotation)
    properties = _properties(found.annotation)
    area = _area(found.annotation, corners)
    if kind not in AREAS and kind not in MARKS:
        gatherer.skip(f"annotation {kind!r}")
    elif not len(corners):
        gatherer.skip("annotation without coordinates")
    elif area is not None:
        cut = partial(exclusions.cut, number=found.number)
        gatherer.add(name, area, properties, cut=cut)
    elif kind in POINTS or len(corners) == 1:
        for corner in corners:
            gatherer.mark(name, shapely.Point(corner), properties)
    else:
        gatherer.mark(name, shapely.LineString(corners), properties)


def _corners(annotation: Any, number: int, path: Path) -> Points:  # noqa: ANN401  lxml
    """Return the coordinates of an annotation in their order, which may not be that of the file."""
    corners = points((X(annotation), Y(annotation)), f"annotation {number}", path)
    try:
        order = np.array([float(text) for text in ORDER(annotation)])
    except ValueError:
        return corners
    if len(order) != len(corners):
        return corners
    return corners[np.argsort(order, kind="stable")]


def _kind(annotation: Any) -> str:  # noqa: ANN401  lxml has no types
    """Its type; programs that write only polygons leave it out."""
    return str(annotation.get("Type") or "Polygon")


def _area(annotation: Any, corners: Points) -> shapely.Polygon | None:  # noqa: ANN401  lxml
    """Return what an annotation encloses, where it is of a type that does."""
    outline = AREAS.get(_kind(annotation))
    outlined = outline(corners) if outline else corners[:0]
    return shapely.Polygon(outlined) if len(outlined) >= 3 else None


def _polygon(corners: Points) -> Points:
    return corners


def _rectangle(corners: Points) -> Points:
    """Return a rectangle may be given by two opposite corners."""
    if len(corners) != 2:
        return corners
    (left, top), (right, bottom) = corners
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _spline(corners: Points) -> Points:
    """Return a closed curve through all points, each piece a cubic of Catmull and Rom (1974)."""
    if len(corners) < 3:
        return corners
    before, here, there, after = (
        np.roll(corners, shift, axis=0)[:, None] for shift in (1, 0, -1, -2)
    )
    t = np.linspace(0, 1, SPLINE_STEPS, endpoint=False)[:, None]
    curve = here + t / 2 * (
        there
        - before
        + t * (2 * before - 5 * here + 4 * there - after)
        + t**2 * (3 * (here - there) + after - before)
    )  # (corners, steps, 2)
    return curve.reshape(-1, 2)


AREAS: Mapping[str, Callable[[Points], Points]] = {
    "Polygon": _polygon,
    "Rectangle": _rectangle,
    "Spline": _spline,
}
POINTS = ("Dot", "PointSet")
MARKS = (*POINTS, "Measurement")


def _properties(annotation: Any) -> dict[str, Property]:  # noqa: ANN401  lxml has no types
    name = annotation.get("Name", "").strip()
    return {} if not name or NUMBERED.fullmatch(name) else {TEXT: name}


def _called(layer: Layer) -> str:
    return layer.name.strip() or UNNAMED


def _hole_groups(layers: Sequence[Layer]) -> dict[str, str]:
    """Of each layer with holes the name of the group that they go to; no layer is called so."""
    groups: dict[str, str] = {}
    names = {_called(layer) for layer in layers}
    for layer in layers:
        if any(shape.has_holes for shape in layer.shapes):
            name = _called(layer) + HOLES
            while name in names:
                name += HOLES
            groups[_called(layer)] = name
    return groups


@dataclass(frozen=True, slots=True)
class _Drawing:
    kind: str
    group: str
    name: str
    corners: Points


def _drawings(layer: Layer, hole_group: str, numbers: Iterator[int]) -> Iterator[_Drawing]:
    """Yield the annotations that stand for a layer's shapes, each before its holes, and marks."""
    group = _called(layer)
    for shape in layer.shapes:
        for part in map(round_corners, shape.parts):
            name = _name(shape, numbers)
            outside = shapely.get_coordinates(part.exterior)[:-1]
            yield _Drawing("Polygon", group, name, outside)
            for hole in part.interiors:
                inside = shapely.get_coordinates(hole)[:-1]
                yield _Drawing("Polygon", hole_group, HOLE_OF + name, inside)
    for mark in layer.marks:
        name = _name(mark, numbers)
        corners = shapely.get_coordinates(round_mark(mark.geometry))
        if len(corners) == 1:
            yield _Drawing("Dot", group, name, corners)
        for ends in pairwise(corners):  # ASAP measures from one point to another
            yield _Drawing("Measurement", group, name, np.array(ends))


def _name(item: Shape | Mark, numbers: Iterator[int]) -> str:
    return str(item.properties.get(TEXT, "")) or f"Annotation {next(numbers)}"


def _annotation_lines(drawn: _Drawing, colour: str) -> Iterator[str]:
    fields = {
        "Name": drawn.name,
        "Type": drawn.kind,
        "PartOfGroup": drawn.group,
        "Color": colour,
    }
    yield tag("Annotation", fields) + "<Coordinates>"
    for order, corner in enumerate(corner_fields(drawn.corners)):
        yield f'<Coordinate Order="{order}" {corner}/>'
    yield "</Coordinates></Annotation>\n"


def _group_lines(layer: Layer, hole_group: str) -> Iterator[str]:
    name, colour = _called(layer), hex_colour(layer.colour)
    yield tag("Group", {"Name": name, "PartOfGroup": NO_GROUP, "Color": colour}) + "<Attributes>"
    if layer.description:
        yield tag("Attribute", {DESCRIPTION: layer.description}, end="/>")
    yield "</Attributes></Group>\n"
    if hole_group:
        fields = {"Name": hole_group, "PartOfGroup": name, "Color": colour}
        yield tag("Group", fields) + "<Attributes/></Group>\n"
