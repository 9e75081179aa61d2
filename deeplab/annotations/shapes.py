"""Named shapes in level-0 pixels: areas with holes, points and lines, in layers of a colour."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import shapely

from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp
from deeplab.report.words import counted

Property = float | int | str
Area: TypeAlias = shapely.Polygon | shapely.MultiPolygon


@dataclass(frozen=True, slots=True)
class Shape:
    """One outlined object; `polygon` is in level-0 pixels, its interiors are holes.

    An object that was drawn in several parts, as a figure eight is, is a MultiPolygon: it counts
    once, whatever it is counted for.
    """

    polygon: Area
    properties: Mapping[str, Property] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[shapely.Polygon, ...]:
        """The polygons that it is made of, most often one."""
        if isinstance(self.polygon, shapely.Polygon):
            return (self.polygon,)
        return tuple(self.polygon.geoms)

    @property
    def has_holes(self) -> bool:
        """Whether any part of it has a hole."""
        return any(part.interiors for part in self.parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """A point or an open line, level-0 pixels: what was marked but encloses no area."""

    geometry: shapely.Point | shapely.LineString
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """All outlined objects of one class on a slide, a later one over the earlier.

    Shapes and marks may lie on disk: they have a number and an order, but no places to index.
    """

    name: str
    colour: Rgb
    shapes: Collection[Shape]
    description: str = ""
    marks: Collection[Mark] = ()
    is_tinted: bool = field(default=True, compare=False)  # what is within the outlines

    @property
    def contents(self) -> str:
        """What is in it, for people: "2 shapes, 3 points and lines"."""
        marks = f", {len(self.marks):,} points and lines" if self.marks else ""
        return counted(len(self.shapes), "shape") + marks


@dataclass(frozen=True, slots=True)
class Annotations:
    """Everything outlined on a slide; a later layer lies over the earlier ones.

    Attributes:
        layers: the shapes and marks.
        attributes: where they come from.
        mpp: um per level-0 pixel, where the file says it.
        remarks: what reading had to mend or leave out, a sentence each.
        ids: of the annotations on a server that a layer was read from, by its name.
    """

    layers: tuple[Layer, ...]
    attributes: Mapping[str, object] = field(default_factory=dict)
    mpp: Mpp | None = None
    remarks: tuple[str, ...] = field(default=(), compare=False)
    ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names, each once, in order."""
        return tuple(dict.fromkeys(layer.name for layer in self.layers))

    @property
    def shape_count(self) -> int:
        """Number of shapes in all layers."""
        return sum(len(layer.shapes) for layer in self.layers)

    def layer(self, name: str) -> Layer:
        """Return the layer of a name; layers that share it are seen as one.

        Raises:
            AnnotationError: there is none of that name.
        """
        same = [layer for layer in self.layers if layer.name == name]
        if not same:
            raise AnnotationError(
                "annotations",
                f"there is no layer {name!r}, only " + (", ".join(self.names) or "none at all"),
            )
        if len(same) == 1:
            return same[0]
        return Layer(
            name,
            same[0].colour,
            tuple(shape for layer in same for shape in layer.shapes),
            same[0].description,
            tuple(mark for layer in same for mark in layer.marks),
        )


def one_area(polygons: Sequence[shapely.Polygon]) -> Area | None:
    """Return the polygons of one object as they are, valid or not; None of none."""
    if len(polygons) < 2:
        return polygons[0] if polygons else None
    return shapely.MultiPolygon(list(polygons))


def polygon_parts(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    """Return the polygons in a geometry of any kind; points and lines are left out."""
    parts = shapely.get_parts(geometry, return_index=False)
    found: list[shapely.Polygon] = []
    for part in parts:
        if isinstance(part, shapely.Polygon):
            if not part.is_empty and part.area > 0:
                found.append(part)
        elif isinstance(part, shapely.GeometryCollection | shapely.MultiPolygon):
            found.extend(polygon_parts(part))
    return found
