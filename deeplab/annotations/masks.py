"""Annotations as label masks, TIFF or PNG: every pixel the number of the class on top there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deeplab.annotations.edge_bands import EdgeBands
from deeplab.annotations.format import IGNORE_LAYER, Reading, Writing
from deeplab.annotations.gather import LayerGatherer
from deeplab.annotations.label_mask import MAX_BYTES, open_png_mask, write_png_mask
from deeplab.annotations.mask_tiff import MAX_PIXELS, MAX_SIDE, open_mask_tiff
from deeplab.annotations.mask_values import meanings_of
from deeplab.annotations.rasterize import Labels
from deeplab.annotations.shapes import Annotations
from deeplab.annotations.trace import SeamTracer
from deeplab.config.classes import IGNORE
from deeplab.errors import AnnotationError
from deeplab.files import scratch_folder
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame, snap
from deeplab.label_map import LabelRow, LabelTable, write_label_map

MOST_LAYERS = 254  # 0 is background, 255 not to be looked at
COARSEST_UM = 40.0  # a resolution of 600 dots per inch or less is of a printer, not of a slide
FINER = 4  # pixels of a mask on one of its slide, at most; what was drawn on a slide has one
SAME_SHAPE = 0.02  # by which the sides of a mask may be unlike those of its slide
Pieces = Iterable[tuple[WorkBox, Labels]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a mask lies on its slide.

    Attributes:
        frame: its pixels.
        mpp: um per level-0 pixel, where known.
        table: what the mask says of its values.
        attributes: the slide's size, where it is known to the pixel.
    """

    frame: WorkFrame
    mpp: Mpp | None
    table: LabelTable | None
    attributes: Mapping[str, object]

    @classmethod
    def of(
        cls,
        path: Path,
        size: WorkBox,
        table: LabelTable | None,
        mpp: Mpp | None,
        reading: Reading,
    ) -> _Place:
        """What the mask itself says goes before the slide's size, that before its um per pixel.

        Args:
            path: of the mask, for sentences.
            size: of the mask.
            table: of the mask, where it has one.
            mpp: um per pixel of the mask, where it says it.
            reading: may tell the size and um per pixel of the slide.

        Raises:
            AnnotationError: the mask has not the shape of the slide.
        """
        if mpp and not table and max(mpp.x, mpp.y) > COARSEST_UM:
            mpp = None
        known = (reading.width_level0, reading.height_level0)
        scale, level0 = (1.0, 1.0), (size.width, size.height)
        if table:
            scale = (table.scale_x, table.scale_y)
            level0 = (table.width_level0, table.height_level0)
        elif all(known):
            scale, level0 = (known[0] / size.width, known[1] / size.height), known
            _check_shape(path, size, known, reading.mpp)
        elif mpp and reading.mpp:
            given = (mpp.x / reading.mpp.x, mpp.y / reading.mpp.y)
            scale = (snap(given[0]) or given[0], snap(given[1]) or given[1])
            level0 = level0 if scale == (1.0, 1.0) else (0, 0)
        own = Mpp(mpp.x / scale[0], mpp.y / scale[1]) if mpp else reading.mpp
        return cls(
            WorkFrame(*scale, size.width, size.height, 1.0),
            own,
            table,
            {"width_level0": level0[0], "height_level0": level0[1]} if all(level0) else {},
        )


def read_mask(path: Path, reading: Reading = Reading()) -> Annotations:
    """Reads a label mask; its objects are the pixels of one value that hang together by sides.

    `attributes` of the result holds `width_level0` and `height_level0` where they are known.

    Args:
        path: a PNG, else a TIFF.
        reading: names the values where the file does not; with the slide's size or um per pixel a
            smaller mask is laid over the whole slide.

    Raises:
        AnnotationError: it is not such a picture, is damaged or too large.
    """
    if path.suffix.lower() == ".png":
        with open_png_mask(path) as png:
            table = LabelTable.parse(png.description)
            place = _Place.of(path, png.size, table, png.mpp, reading)
            return _gather(path, png.pieces(), place, reading)
    with open_mask_tiff(path) as tiff:
        table = LabelTable.parse(tiff.description)
        place = _Place.of(path, tiff.size, table, tiff.mpp(), reading)
        return _gather(path, tiff.pieces(), place, reading)


def write_mask(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Writes a label mask with the names and colours of the layers, by the suffix PNG or TIFF.

    The layers have the values 1, 2, ... in their order, one called `ignore` 255. A later layer
    covers the earlier; a pixel belongs to a shape if its centre does.

    Raises:
        AnnotationError: there are more layers than values, or more pixels than a mask may have.
        ConfigError: `mask_mpp` is no number above 0.
        OutputError: the file cannot be written.
    """
    frame, table = _plan(path, annotations, writing)
    values = {row.name: row.value for row in table.rows}
    mpp = annotations.mpp
    if mpp:
        mpp = Mpp(mpp.x * frame.scale_x, mpp.y * frame.scale_y)
    with scratch_folder() as folder:
        shapes = EdgeBands(annotations, values, table.height_level0, folder)
        if path.suffix.lower() == ".png":
            write_png_mask(path, shapes.draw(frame.box, frame), table, mpp)
            return
        write_label_map(
            path,
            lambda box, level: shapes.draw(box, _coarser(frame, level)),
            width=frame.width,
            height=frame.height,
            mpp=mpp,
            table=table,
        )


def _check_shape(path: Path, size: WorkBox, slide: tuple[int, int], mpp: Mpp | None) -> None:
    """Raise AnnotationError where a mask would have to be stretched to lie over its slide.

    Also where it has many times the pixels of the slide: nothing of it is decoded yet.
    """
    if size.width * size.height > FINER * slide[0] * slide[1]:
        raise AnnotationError(
            path,
            f"has {size.width} x {size.height} pixels, many more than the slide of {slide[0]} x"
            f" {slide[1]}; is it of another one?",
        )
    stretched = slide[0] * size.height / (slide[1] * size.width)
    # A side that was divided and rounded is off by a pixel; pixels may be square in um instead.
    off = SAME_SHAPE + 1 / size.width + 1 / size.height
    right = (1.0, mpp.y / mpp.x if mpp else 1.0)
    if not any(abs(stretched / each - 1) <= off for each in right):
        raise AnnotationError(
            path,
            f"has {size.width} x {size.height} pixels, which is not the shape of the slide of"
            f" {slide[0]} x {slide[1]}; is it of another one?",
        )


def _plan(path: Path, annotations: Annotations, writing: Writing) -> tuple[WorkFrame, LabelTable]:
    width, height = writing.size_of(annotations)
    frame = WorkFrame(1.0, 1.0, width, height, annotations.mpp.mean if annotations.mpp else 1.0)
    if writing.mask_mpp:
        if annotations.mpp is None:
            raise AnnotationError(
                path, "a scale was asked for, but the slide's um per pixel is not known"
            )
        frame = WorkFrame.over(width, height, annotations.mpp, writing.mask_mpp)
    limit = MAX_BYTES if path.suffix.lower() == ".png" else MAX_PIXELS
    if frame.width * frame.height > limit or max(frame.width, frame.height) > MAX_SIDE:
        raise AnnotationError(
            path, f"{frame.width} x {frame.height} pixels are more than a mask may have, {limit}"
        )
    table = LabelTable(
        rows=_rows(path, annotations),
        scale_x=frame.scale_x,
        scale_y=frame.scale_y,
        width_level0=width,
        height_level0=height,
    )
    return frame, table


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


def _coarser(frame: WorkFrame, level: int) -> WorkFrame:
    """The frame of a level whose pixels are 2**level times as wide."""
    by = 2**level
    return WorkFrame(
        frame.scale_x * by,
        frame.scale_y * by,
        -(-frame.width // by),
        -(-frame.height // by),
        frame.mpp_work * by,
    )


def _gather(path: Path, pieces: Pieces, place: _Place, reading: Reading) -> Annotations:
    tracer = SeamTracer(place.frame, place.frame.box, reading.spill)
    present: set[int] = set()
    for box, labels in pieces:
        tracer.add(labels, None, box)
        counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256]).ravel()
        present.update(np.flatnonzero(counts).tolist())
    meanings = meanings_of(place.table, present, reading, path)
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
