"""Shapes to labels: a pixel belongs to a polygon if its centre does, edges half-open.

Every polygon edge crosses the centre lines of some rows; sorted along a row, the crossings of one
polygon bound its spans, even-odd, so holes come by themselves. All polygons of a layer are filled
at once. Rows and columns are computed in the whole slide's work frame, so a box never changes which
pixels of it are inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Annotations, Area
from deeplab.config.classes import IGNORE
from deeplab.geometry.frames import WorkBox, WorkFrame

Labels = NDArray[np.uint8]  # (height_work, width_work); 0 background, 255 not to be looked at
Values = NDArray[Any]  # (height_work, width_work), unsigned
Instances = NDArray[np.int32]  # (height_work, width_work); 0 none, else the number of the object

# What is true of one box of pixels, as rasters of it by kind:
#   "labels"     uint8 (h, w), 0 background, 255 not to be looked at
#   "labels/..." uint8 (h, w), the same by another set of label images, by its name
#   "instances"  int32 (h, w), 0 none, the same number from 1 on for all pixels of one object;
#                numbers need not be without gaps. An object whose label is 255 is one whose class
#                is not known; where there is no object and the label is 255 nothing is known.
#   "classes"    uint32 (h, w), the bit label - 1 is set for each class that lies there, also under
#                others; the first 32 classes only.
Truth = Mapping[str, NDArray[Any]]

LABEL_SET = "labels/"  # how the kind of a further label image begins
BACKGROUND = 0
MOST_CLASSES = 32  # of "classes"
BAND = 1 << 22  # pixels filled at a time: bounds the memory of the count below


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges of many polygons that are not level: float64 (edges,), `y_top` < `y_bottom`.

    The edges of polygon i are those from `first[i]` up to `first[i + 1]`.
    """

    x_top: NDArray[np.float64]
    y_top: NDArray[np.float64]
    x_bottom: NDArray[np.float64]
    y_bottom: NDArray[np.float64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, polygons: Sequence[Area]) -> Self:
        """Return those of `polygons`; what is of several parts is drawn as one."""
        parts, polygon_of_part = shapely.get_parts(np.asarray(polygons, object), return_index=True)
        rings, part_of_ring = shapely.get_rings(parts, return_index=True)
        polygon_of_ring = polygon_of_part[part_of_ring]
        points, ring = shapely.get_coordinates(rings, return_index=True)
        tail, head = points[:-1], points[1:]
        kept = (ring[1:] == ring[:-1]) & (tail[:, 1] != head[:, 1])
        tail, head = tail[kept], head[kept]
        polygon = polygon_of_ring[ring[:-1][kept]]
        down = (tail[:, 1] < head[:, 1])[:, None]
        top, bottom = np.where(down, tail, head), np.where(down, head, tail)
        first = np.searchsorted(polygon, np.arange(len(polygons) + 1))
        return cls(top[:, 0], top[:, 1], bottom[:, 0], bottom[:, 1], first.astype(np.int64))

    @property
    def polygon(self) -> NDArray[np.int64]:
        """The number of the polygon of each edge."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def select(self, polygons: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the edges of some polygons, and for each the place of its polygon there."""
        count = self.first[polygons + 1] - self.first[polygons]
        owner = np.repeat(np.arange(len(polygons)), count)
        before = np.cumsum(count) - count
        edge = np.arange(len(owner)) - before[owner] + self.first[polygons][owner]
        return edge, owner


@dataclass(frozen=True, slots=True)
class _Spans:
    """Runs of pixels in a box, those of one polygon after those of the one before.

    Attributes:
        row: of the box.
        start: first column.
        end: first column after it.
        owner: place of its polygon among those that were asked for.
    """

    row: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    owner: NDArray[np.int64]


def _spans(
    edges: Edges, polygons: NDArray[np.int64], box: WorkBox, scale_x: float, scale_y: float
) -> _Spans:
    """Return the pixels of `box` whose centres lie in each of some polygons."""
    edge, owner = edges.select(polygons)
    y_top, y_bottom = edges.y_top[edge] / scale_y, edges.y_bottom[edge] / scale_y
    first = np.maximum(np.ceil(y_top - 0.5), box.y)
    count = np.maximum(np.minimum(np.ceil(y_bottom - 0.5), box.bottom) - first, 0).astype(np.int64)
    crossed = np.flatnonzero(count)
    count, edge, owner = count[crossed], edge[crossed], owner[crossed]
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    row = np.repeat(first[crossed].astype(np.int64), count) + step

    x_top, x_bottom = edges.x_top[edge] / scale_x, edges.x_bottom[edge] / scale_x
    slope = (x_bottom - x_top) / (y_bottom[crossed] - y_top[crossed])
    offset = row + 0.5 - np.repeat(y_top[crossed], count)
    x = np.repeat(x_top, count) + offset * np.repeat(slope, count)
    # Rounding must not carry a crossing past the ends of its edge.
    low, high = np.minimum(x_top, x_bottom), np.maximum(x_top, x_bottom)
    x = np.clip(x, np.repeat(low, count), np.repeat(high, count))
    column = np.clip(np.ceil(x - 0.5) - box.x, 0, box.width).astype(np.int64)

    # A closed ring crosses every centre line an even number of times, so sorted crossings pair up.
    width = box.width + 1
    key = np.sort((np.repeat(owner, count) * box.height + row - box.y) * width + column)
    start, end = key[0::2], key[1::2]
    kept = start < end
    start, end = start[kept], end[kept]
    line = start // width
    return _Spans(line % box.height, start % width, end % width, line // box.height)


def _fill(out: Values, spans: _Spans, value: int) -> None:
    """Sets the pixels of all spans, which may overlap."""
    if not len(spans.row):
        return
    top, left = int(spans.row.min()), int(spans.start.min())
    height, width = int(spans.row.max()) - top + 1, int(spans.end.max()) - left + 1
    line = (spans.row - top) * width - left
    depth = np.zeros(height * width, np.int32)
    np.add.at(depth, line + spans.start, 1)
    np.add.at(depth, line + spans.end, -1)
    inside = np.cumsum(depth.reshape(height, width)[:, :-1], axis=1, dtype=np.int32) > 0
    out[top : top + height, left : left + width - 1][inside] = value


def _number(out: Instances, spans: _Spans, numbers: NDArray[np.int32]) -> None:
    """Give the pixels of each span the number of its owner; where spans overlap, the highest."""
    length = spans.end - spans.start
    before = np.cumsum(length) - length
    within = np.arange(length.sum()) - np.repeat(before, length)
    row, column = np.repeat(spans.row, length), np.repeat(spans.start, length) + within
    out[row, column] = 0  # what earlier layers left there
    np.maximum.at(out, (row, column), np.repeat(numbers[spans.owner], length))


def fill_polygon(
    out: Values,
    polygon: Area,
    value: int,
    *,
    x_origin: int = 0,
    y_origin: int = 0,
    scale_x: float = 1.0,
    scale_y: float = 1.0,
) -> None:
    """Sets the pixels of `out` whose centres lie in `polygon` to `value`.

    Args:
        out: labels or numbers of objects; its first pixel is the work pixel (`x_origin`,
            `y_origin`).
        polygon: in level-0 pixels.
        value: of the range of `out`.
        x_origin: in work pixels.
        y_origin: in work pixels.
        scale_x: level-0 pixels per work pixel.
        scale_y: level-0 pixels per work pixel.
    """
    box = WorkBox(x_origin, y_origin, out.shape[1], out.shape[0])
    edges = Edges.of([polygon])
    for band in _bands(box):
        spans = _spans(edges, np.zeros(1, np.int64), band, scale_x, scale_y)
        _fill(out[band.within(box)], spans, value)


def _bands(box: WorkBox) -> list[WorkBox]:
    """Return the box in pieces of whole rows, small enough to be counted in."""
    if box.is_empty:
        return []
    rows = max(1, BAND // box.width)
    return [
        WorkBox(box.x, y, box.width, min(rows, box.bottom - y))
        for y in range(box.y, box.bottom, rows)
    ]


@dataclass(frozen=True, slots=True)
class DrawnLayer:
    """Polygons that get one value.

    Attributes:
        value: their label.
        edges: of all of them.
        tree: finds those of a part of the slide.
        first_instance: number of the first polygon as an object, the others follow; 0: they are
            none.
    """

    value: int
    edges: Edges
    tree: shapely.STRtree
    first_instance: int = 0


def draw_layers(out: Labels, layers: Sequence[DrawnLayer], box: WorkBox, frame: WorkFrame) -> None:
    """Draws layers, the later over the earlier.

    Args:
        out: uint8 (box.height, box.width); stays as it is where no polygon is.
        layers: the polygons and values.
        box: the work pixels that `out` is of.
        frame: the slide's work frame.
    """
    for layer, _, spans, part in _layer_spans(layers, box, frame):
        _fill(out[part], spans, layer.value)


def _layer_spans(
    layers: Sequence[DrawnLayer], box: WorkBox, frame: WorkFrame
) -> Iterator[tuple[DrawnLayer, NDArray[np.int64], _Spans, tuple[slice, slice]]]:
    """Yield band by band the layers in their order: polygons, spans, and the band in the box."""
    for band in _bands(box):
        part = frame.to_level0(band)
        window = shapely.box(part.x0, part.y0, part.x0 + part.width, part.y0 + part.height)
        for layer in layers:
            polygons = np.sort(layer.tree.query(window)).astype(np.int64)
            if len(polygons):
                spans = _spans(layer.edges, polygons, band, frame.scale_x, frame.scale_y)
                yield layer, polygons, spans, band.within(box)


class ShapeIndex:
    """The shapes of one slide, made ready to be drawn into many boxes.

    As objects, one polygon of a class is one, and its number depends on the slide alone: objects
    are numbered from 1 on, layer by layer in drawing order. Of those that overlap the pixel goes
    to the one that is drawn last, which within a layer is that of the higher number; so a pixel's
    object is one of the class that its label says, IGNORE where nobody knows its class. Where a
    layer of the background or of what is to be ignored lies over objects, there is none.

    Args:
        annotations: the slide's layers.
        values: layer name to label value. Layers are drawn in this order, the later over the
            earlier; layers that are not named are not drawn.
        untyped: a layer of IGNORE whose polygons are objects all the same; "": none.
    """

    def __init__(
        self, annotations: Annotations, values: Mapping[str, int], untyped: str = ""
    ) -> None:
        self._layers: list[DrawnLayer] = []
        free = 1  # the next object's number
        for name, value in values.items():
            if name not in annotations.names:
                continue
            polygons = [shape.polygon for shape in annotations.layer(name).shapes]
            if polygons:
                tree = shapely.STRtree(polygons)
                are_objects = value not in (BACKGROUND, IGNORE) or name == untyped
                first = free if are_objects else 0
                free += len(polygons) if first else 0
                self._layers.append(DrawnLayer(value, Edges.of(polygons), tree, first))

    def draw(self, box: WorkBox, frame: WorkFrame, *, ground: Labels | int = 0) -> Labels:
        """Labels of a box of work pixels, uint8 (box.height, box.width).

        Args:
            box: the work pixels wanted.
            frame: the slide's work frame.
            ground: the labels where no shape is, one or (box.height, box.width).
        """
        out = np.empty((box.height, box.width), np.uint8)
        out[...] = ground
        draw_layers(out, self._layers, box, frame)
        return out

    def draw_instances(self, box: WorkBox, frame: WorkFrame) -> Instances:
        """Return the objects of a box of work pixels, int32 (box.height, box.width); 0: none.

        Args:
            box: the work pixels wanted.
            frame: the slide's work frame.
        """
        out = np.zeros((box.height, box.width), np.int32)
        for layer, polygons, spans, part in _layer_spans(self._layers, box, frame):
            first = layer.first_instance
            numbers = (polygons + first) * bool(first)
            _number(out[part], spans, numbers.astype(np.int32))
        return out

    def draw_classes(self, box: WorkBox, frame: WorkFrame) -> NDArray[np.uint32]:
        """Return all classes of a box of work pixels, uint32 (box.height, box.width); see `Truth`.

        Args:
            box: the work pixels wanted.
            frame: the slide's work frame.
        """
        out = np.zeros((box.height, box.width), np.uint32)
        for layer, _, spans, part in _layer_spans(self._layers, box, frame):
            if layer.value in range(1, MOST_CLASSES + 1):
                inside = np.zeros(out[part].shape, np.uint32)
                _fill(inside, spans, 1)
                out[part] |= inside << np.uint32(layer.value - 1)
        return out


def covers(truth: Truth, class_count: int) -> tuple[NDArray[np.float64], float]:
    """Return the shares that classes cover of what was judged, (classes,), and that of the judged.

    Args:
        truth: "classes" and "labels" of a patch.
        class_count: at most `MOST_CLASSES` can be told.
    """
    known = truth["labels"] != IGNORE
    bits = truth["classes"][known]
    total = max(1, bits.size)
    shares = [np.count_nonzero(bits & np.uint32(1 << at)) / total for at in range(class_count)]
    return np.asarray(shares, np.float64), bits.size / max(1, known.size)


def draw(
    annotations: Annotations, values: Mapping[str, int], box: WorkBox, frame: WorkFrame
) -> Labels:
    """Labels of one box; for many boxes of a slide make one `ShapeIndex`.

    Args:
        annotations: the slide's layers.
        values: layer name to label value, in drawing order (see `ShapeIndex`).
        box: the work pixels wanted.
        frame: the slide's work frame.
    """
    return ShapeIndex(annotations, values).draw(box, frame)
