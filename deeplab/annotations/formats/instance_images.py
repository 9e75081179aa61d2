"""Pictures whose values number objects: TIFF or PNG, of 16 bits or 32; every number one object."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer
from deeplab.annotations.formats.mask_pictures import MaskPicture, open_mask
from deeplab.annotations.formats.mask_place import MaskPlace, coarser, frame_to_write, mpp_of
from deeplab.annotations.formats.mask_values import MOST_VALUES, Pixels, grey
from deeplab.annotations.formats.type_info import Types as TypeNames
from deeplab.annotations.formats.type_info import named_types, open_types, type_of, types_beside
from deeplab.annotations.raster.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace.instances import Ids, InstanceTracer, Types, as_ids
from deeplab.config.classes import IGNORE
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import WorkBox
from deeplab.label_map import InstanceRow, InstanceTable, LabelTable, write_instance_map

log = logging.getLogger(__name__)

NAMED = ".instances"  # before the suffix, of a file that says so by its name
TYPES = ".types"  # before the suffix, of the picture of their types beside it
SUFFIXES = (".tif", ".tiff", ".png")
UNTYPED = "objects"  # the layer of those of which nothing is told
MOST_CLASSES = 254  # that a label mask may have
PIECES = 2  # that an object is in on the average at most; what is of one class lies about
MAX_TYPES = 1 << 30  # pixels of the types, which are held as a whole


def says_instances(path: Path) -> bool:
    """Return whether a picture says by its name or its table that it numbers objects.

    Raises:
        AnnotationError: it is no picture of values.
    """
    if path.stem.lower().endswith(NAMED):
        return True
    with open_mask(path, _ids_of) as picture:
        return InstanceTable.parse(picture.description) is not None


def read_instances(path: Path, reading: Reading = Reading()) -> Annotations:
    """Read a picture of numbered objects; what has one number in several places is one object.

    Their layers are those of its table; else of the types that most of their pixels have in
    `NAME.types.tif` or `.png` beside `NAME.instances.tif`; else all are in the layer of the one
    class that `reading` names, or in "objects".

    Args:
        path: a PNG, else a TIFF.
        reading: names the types where the files do not; places the picture as a mask.

    Raises:
        AnnotationError: it is not such a picture, or its types are of another size.
    """
    with open_mask(path, _ids_of) as picture:
        return _read(path, picture, reading)


def read_objects(path: Path, picture: MaskPicture, reading: Reading) -> Annotations | None:
    """Read a picture without a table of classes as objects, where it is rather that.

    It has a table of objects, or values of more than 8 bits and a picture of their types beside it;
    or several such values, among them some without the name of a class (more than 32 where several
    classes are named), that are in no more than two pieces each on the average, or more values than
    a mask may have classes. A remark says that they were taken for objects.

    Args:
        path: of the picture.
        picture: the same, opened.
        reading: names the classes that there are.

    Raises:
        AnnotationError: it is damaged.
    """
    if InstanceTable.parse(picture.description):
        return read_instances(path, reading)
    if picture.bits <= 8:
        return None
    with open_mask(path, _ids_of) as numbered:
        try:
            tracer = _trace(path, numbered, reading)
        except AnnotationError:
            return None  # which reading it as a mask explains
        pieces = tracer.piece_counts
        if not (_types_file(path) or _are_objects(pieces, reading)):
            return None
        remark = (
            f"its {len(pieces):,} values of {numbered.bits} bits are taken for objects, one each; a"
            " mask of classes must have 8 bits, or a name for each value (classes)"
        )
        return _read(path, numbered, reading, tracer, remark)


def write_instances(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Write a TIFF as a label mask is, of uint32 numbers: 1, 2, ... layer by layer.

    The table tells the numbers of each layer. Of shapes that overlap, a pixel is of the last; a
    pixel belongs to a shape if its centre does.

    Raises:
        AnnotationError: there are more pixels than a mask may have, or it is no TIFF.
        ConfigError: `mask_mpp` is no number above 0.
        OutputError: the file cannot be written.
    """
    if path.suffix.lower() == ".png":
        raise AnnotationError(
            path, "objects are numbered in 32 bits, which a PNG has not; give .tif"
        )
    frame = frame_to_write(path, annotations, writing)
    width, height = writing.size_of(annotations)
    rows: list[InstanceRow] = []
    for name in annotations.names:
        layer = annotations.layer(name)
        first = rows[-1].last + 1 if rows else 1
        last = first + len(layer.shapes) - 1
        rows.append(InstanceRow(name, layer.colour, first, last, layer.description))
    shapes = ShapeIndex(annotations, dict.fromkeys(annotations.names, 1))
    write_instance_map(
        path,
        lambda box, level: shapes.draw_instances(box, coarser(frame, level)).astype(np.uint32),
        width=frame.width,
        height=frame.height,
        mpp=mpp_of(frame, annotations),
        table=InstanceTable(
            rows=tuple(rows),
            scale_x=frame.scale_x,
            scale_y=frame.scale_y,
            width_level0=width,
            height_level0=height,
        ),
    )


def _ids_of(pixels: Pixels, path: Path) -> Ids:
    return as_ids(grey(pixels, path), "the picture", path)


def _are_objects(pieces: Mapping[int, int], reading: Reading) -> bool:
    named = (*range(1, len(reading.classes) + 1), IGNORE)
    strange = sum(value not in named for value in pieces)
    # One value is white, or the one class; where several classes are named, a mask is asked for.
    if not strange or len(pieces) < 2 or (len(reading.classes) > 1 and strange <= MOST_VALUES):
        return False
    return len(pieces) > MOST_CLASSES or sum(pieces.values()) <= PIECES * len(pieces)


def _trace(
    path: Path, picture: MaskPicture, reading: Reading, types: Types | None = None
) -> InstanceTracer:
    """Trace the objects of a picture, with their types where these are held."""
    table = InstanceTable.parse(picture.description)
    frame = MaskPlace.of(path, picture.size, table, picture.mpp, reading).frame
    tracer = InstanceTracer(frame, frame.box, reading.spill)
    for box, ids in picture.pieces():
        tracer.add(ids, box, None if types is None else types[box.within(frame.box)])
    return tracer


def _read(
    path: Path,
    picture: MaskPicture,
    reading: Reading,
    tracer: InstanceTracer | None = None,
    remark: str = "",
) -> Annotations:
    gatherer = LayerGatherer.of(path, reading)
    table = InstanceTable.parse(picture.description)
    beside = None if table else _types_file(path)
    names: TypeNames = {}
    types = None
    if beside:
        types, names = _load_types(beside, picture.size, reading, gatherer)
        log.debug("%s: the types of its objects are taken from %s", path, beside.name)
    if tracer is None or beside:
        tracer = _trace(path, picture, reading, types)
    kinds = tracer.types()
    for row in table.rows if table else ():
        gatherer.open(row.name, row.colour, row.description)
    open_types(names, gatherer)
    untyped = reading.classes[0] if len(reading.classes) == 1 and not beside else UNTYPED
    layer_of = _Layers(table)
    for number, polygon in tracer.finish():
        kind = kinds.get(number, 0)
        name, colour = type_of(names, kind) if kind else (layer_of(number) or untyped, None)
        gatherer.open(name, colour)
        gatherer.add(name, polygon)
    if remark:
        gatherer.say(remark)
    place = MaskPlace.of(path, picture.size, table, picture.mpp, reading)
    return gatherer.annotations(place.attributes, place.mpp)


class _Layers:
    """Finds the layer of a number in a table, which may have many rows."""

    def __init__(self, table: InstanceTable | None) -> None:
        self._rows = sorted(table.rows if table else (), key=lambda row: row.first)
        self._first = np.array([row.first for row in self._rows], np.int64)

    def __call__(self, number: int) -> str:
        place = int(np.searchsorted(self._first, number, side="right")) - 1
        # Rows without objects begin where the next one does.
        known = place >= 0 and number <= self._rows[place].last
        return self._rows[place].name if known else ""


def _types_file(path: Path) -> Path | None:
    """Return the picture of types beside one of objects."""
    stem = path.stem[: -len(NAMED)] if path.stem.lower().endswith(NAMED) else path.stem
    there = (path.with_name(stem + TYPES + suffix) for suffix in SUFFIXES)
    return next((each for each in there if each.is_file()), None)


def _load_types(
    path: Path, size: WorkBox, reading: Reading, gatherer: LayerGatherer
) -> tuple[Types, TypeNames]:
    """Return the type of each pixel, uint8 (height, width), and what types are called."""
    with open_mask(path) as picture:
        if picture.size != size:
            raise AnnotationError(
                path,
                f"has {picture.size.width} x {picture.size.height} pixels, but the objects"
                f" {size.width} x {size.height}",
            )
        if size.width * size.height > MAX_TYPES:
            raise AnnotationError(path, f"has more pixels than types may have, {MAX_TYPES}")
        types = np.zeros((size.height, size.width), np.uint8)
        for box, labels in picture.pieces():
            types[box.within(size)] = labels
        table = LabelTable.parse(picture.description)
    if table:
        return types, {row.value: (row.name, row.colour) for row in table.rows}
    if reading.classes:
        return types, named_types(reading.classes)
    return types, types_beside(path, gatherer)
