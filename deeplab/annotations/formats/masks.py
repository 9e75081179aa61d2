"""Annotations as label masks, TIFF or PNG: every pixel the number of the class on top there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from deeplab.annotations.formats.format import IGNORE_LAYER, Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer
from deeplab.annotations.formats.instance_images import read_objects
from deeplab.annotations.formats.label_mask import write_png_mask
from deeplab.annotations.formats.mask_pictures import Pieces, open_mask
from deeplab.annotations.formats.mask_place import MaskPlace, coarser, frame_to_write, mpp_of
from deeplab.annotations.formats.mask_values import (
    Meanings,
    ValueReader,
    from_zero,
    meanings_from_zero,
    meanings_of,
)
from deeplab.annotations.raster.edge_bands import EdgeBands
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace.outlines import SeamTracer
from deeplab.config.classes import IGNORE
from deeplab.errors import AnnotationError
from deeplab.files import scratch_folder
from deeplab.geometry.frames import WorkFrame
from deeplab.label_map import LabelRow, LabelTable, write_label_map

MOST_LAYERS = 254  # 0 is background, 255 not to be looked at


def read_mask(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads a label mask; its objects are the pixels of one value that hang together by sides.

    `attributes` of the result holds `width_level0` and `height_level0` where they are known. What
    rather numbers objects is read as that, and a remark says why (`instance_images`).

    Args:
        path: a PNG, else a TIFF.
        reading: names the values where the file does not; with the slide's size or um per pixel a
            smaller mask is laid over the whole slide.

    Raises:
        AnnotationError: it is not such a picture, is damaged or too large.
    """
    reader = ValueReader()
    with open_mask(path, reader) as picture:
        table = LabelTable.parse(picture.description)
        if table is None and reading.beyond is not None:
            place = MaskPlace.of(path, picture.size, table, picture.mpp, reading)
            tracer = SeamTracer(place.frame, place.frame.box, reading.spill)
            labels = ((box, from_zero(values, reading, path)) for box, values in picture.pieces())
            meanings = meanings_from_zero(_trace(labels, tracer), reading)
            return _gather(path, tracer, meanings, place, reading)
        if table is None and (objects := read_objects(path, picture, reading)):
            return objects
        place = MaskPlace.of(path, picture.size, table, picture.mpp, reading)
        tracer = SeamTracer(place.frame, place.frame.box, reading.spill)
        present = _trace(picture.pieces(), tracer)
        meanings = meanings_of(table, present, reading, path, white=reader.white)
        return _gather(path, tracer, meanings, place, reading)


def write_mask(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Writes a label mask with the names and colours of the layers, by the suffix PNG or TIFF.

    The layers have the values 1, 2, ... in their order, one called `ignore` 255. A later layer
    covers the earlier; a pixel belongs to a shape if its centre does.

    Raises:
        AnnotationError: there are more layers than values, or more pixels than a mask may have.
        ConfigError: `mask_mpp` is no number above 0.
        OutputError: the file cannot be written.
    """
    frame = frame_to_write(path, annotations, writing)
    table = _table(path, annotations, frame, writing)
    values = {row.name: row.value for row in table.rows}
    mpp = mpp_of(frame, annotations)
    with scratch_folder() as folder:
        shapes = EdgeBands(annotations, values, table.height_level0, folder)
        if path.suffix.lower() == ".png":
            write_png_mask(path, shapes.draw(frame.box, frame), table, mpp)
            return
        write_label_map(
            path,
            lambda box, level: shapes.draw(box, coarser(frame, level)),
            width=frame.width,
            height=frame.height,
            mpp=mpp,
            table=table,
        )


def _table(path: Path, annotations: Annotations, frame: WorkFrame, writing: Writing) -> LabelTable:
    width, height = writing.size_of(annotations)
    return LabelTable(
        rows=_rows(path, annotations),
        scale_x=frame.scale_x,
        scale_y=frame.scale_y,
        width_level0=width,
        height_level0=height,
    )


def _rows(path: Path, annotations: Annotations) -> tuple[LabelRow, ...]:
    names = annotations.names
    others = [name for name in names if name != IGNORE_LAYER]
    if len(others) > MOST_LAYERS:
        raise AnnotationError(
            path, f"there are {len(others)} layers; a label mask has values for {MOST_LAYERS}"
        )
    values = {name: value for value, name in enumerate(others, start=1)} | {IGNORE_LAYER: IGNORE}
    first = {layer.name: layer for layer in reversed(annotations.layers)}
    return tuple(
        LabelRow(values[name], name, first[name].colour, first[name].description) for name in names
    )


def _trace(pieces: Pieces, tracer: SeamTracer) -> set[int]:
    """Hand labels on to the tracer; return the values that are there."""
    present: set[int] = set()
    for box, labels in pieces:
        tracer.add(labels, None, box)
        counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256]).ravel()
        present.update(np.flatnonzero(counts).tolist())
    return present


def _gather(
    path: Path, tracer: SeamTracer, meanings: Meanings, place: MaskPlace, reading: Reading
) -> Annotations:
    gatherer = LayerGatherer.of(path, reading)
    names: dict[int, str] = {}
    for row in meanings.rows:
        names[row.value] = row.name
        gatherer.open(row.name, row.colour, row.description)
    for remark in meanings.remarks:
        gatherer.say(remark)
    for traced in tracer.finish():
        gatherer.add(names[traced.label], traced.polygon)
    return gatherer.annotations(place.attributes, place.mpp)
