"""A picture of a slide with the outlines of what was found on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.shapes import Annotations
from deeplab.errors import OutputError
from deeplab.files import whole_file
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.slides.colours import channels_to_rgb
from deeplab.slides.slide import Slide

LONGEST = 4096  # pixels of the picture's longer side
SUBPIXEL_BITS = 4
DOT_RADIUS = 3.0  # pixels of level 0, and at least one of the picture


def write_overlay(
    path: Path, annotations: Annotations, slide: Slide, part: Level0Box, *, dots: bool = False
) -> None:
    """A PNG of a part of a slide, at full resolution or LONGEST pixels, with outlines over it.

    Args:
        path: of the PNG.
        annotations: outlined in the colours of their layers.
        slide: what is shown.
        part: what is shown of it, level-0 pixels.
        dots: whether there is a dot at the centre of mass of each shape, too.

    Raises:
        OutputError: the file cannot be written.
        SlideError, ServerError: the slide cannot be read.
    """
    shrink = max(1.0, part.width / LONGEST, part.height / LONGEST)
    frame = slide.frame(slide.mpp.mean * shrink)
    box = frame.to_work(part).intersection(frame.box)
    picture = channels_to_rgb(slide.read(frame, box)).copy()
    for layer in annotations.layers:
        for shape in layer.shapes:
            rings = [
                _points(ring.coords, frame, box)
                for part in shape.parts
                for ring in (part.exterior, *part.interiors)
            ]
            cv2.polylines(
                picture, rings, isClosed=True, color=layer.colour, thickness=1,
                lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS,
            )  # fmt: skip
        radius = round(max(1.0, DOT_RADIUS / shrink) * 2**SUBPIXEL_BITS)
        for shape in layer.shapes if dots else ():  # over the outlines of all of the layer
            ((x, y),) = _points(shape.polygon.centroid.coords, frame, box).tolist()
            cv2.circle(
                picture, (x, y), radius, layer.colour, thickness=-1,
                lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS,
            )  # fmt: skip
    done, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise OutputError(path, "the picture could not be encoded")
    with whole_file(path) as temporary:
        temporary.write_bytes(png.tobytes())


def _points(
    coords: Iterable[tuple[float, ...]], frame: WorkFrame, box: WorkBox
) -> NDArray[np.int32]:
    points = np.asarray(list(coords))[:, :2] / (frame.scale_x, frame.scale_y) - (box.x, box.y)
    # OpenCV counts from the middle of the first pixel, we from its corner.
    return np.asarray(np.round((points - 0.5) * 2**SUBPIXEL_BITS), np.int32)
