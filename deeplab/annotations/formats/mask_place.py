"""Where a mask lies on its slide, and which pixels one that is written has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.label_mask import MAX_BYTES
from deeplab.annotations.formats.mask_tiff import MAX_PIXELS, MAX_SIDE
from deeplab.annotations.shapes import Annotations
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame, snap
from deeplab.label_map import InstanceTable, LabelTable

COARSEST_UM = 40.0  # a resolution of 600 dots per inch or less is of a printer, not of a slide
FINER = 4  # pixels of a mask on one of its slide, at most; what was drawn on a slide has one
SAME_SHAPE = 0.02  # by which the sides of a mask may be unlike those of its slide


@dataclass(frozen=True, slots=True)
class MaskPlace:
    """Where a mask lies on its slide.

    Attributes:
        frame: its pixels.
        mpp: um per level-0 pixel, where known.
        table: what the mask says of its values.
        attributes: the slide's size, where it is known to the pixel.
    """

    frame: WorkFrame
    mpp: Mpp | None
    table: LabelTable | InstanceTable | None
    attributes: Mapping[str, object]

    @classmethod
    def of(
        cls,
        path: Path,
        size: WorkBox,
        table: LabelTable | InstanceTable | None,
        mpp: Mpp | None,
        reading: Reading,
    ) -> MaskPlace:
        """Return the place by the mask's table, else the slide's size, else the mask's scale.

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


def frame_to_write(path: Path, annotations: Annotations, writing: Writing) -> WorkFrame:
    """Return the pixels of a mask that is to be written.

    Raises:
        AnnotationError: a scale is asked for and that of the slide is not known, or they are more
            pixels than a mask may have.
        ConfigError: `mask_mpp` is no number above 0.
    """
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
    return frame


def mpp_of(frame: WorkFrame, annotations: Annotations) -> Mpp | None:
    """Return the um per pixel of a mask that is written, where it is known."""
    mpp = annotations.mpp
    return Mpp(mpp.x * frame.scale_x, mpp.y * frame.scale_y) if mpp else None


def coarser(frame: WorkFrame, level: int) -> WorkFrame:
    """Return the frame of a level whose pixels are 2**level times as wide."""
    by = 2**level
    return WorkFrame(
        frame.scale_x * by,
        frame.scale_y * by,
        -(-frame.width // by),
        -(-frame.height // by),
        frame.work_mpp * by,
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
