"""Small pictures of objects: the smallest, the middle one and the largest of a class."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image

from deeplab.annotations.shapes import Area
from deeplab.config.classes import Rgb
from deeplab.geometry.frames import WorkBox
from deeplab.slides.colours import channels_to_rgb
from deeplab.slides.slide import Slide

SIDE = 224  # pixels
ROOM = 1.5  # of the picture, times the object
LEAST_UM = 40.0  # side; a nucleus in its surroundings
QUALITY = 88
SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryObject:
    """One object of a slide, outlined; `number` counts the objects of its class from 1."""

    slide: str
    number: int
    x_level0: float
    y_level0: float
    area_um2: float
    side_um: float
    jpeg: bytes


def take_pictures(
    slide: Slide, polygons: NDArray[np.object_], area_um2: NDArray[np.float64], colour: Rgb
) -> list[GalleryObject]:
    """Return the smallest, the middle one and the largest object, each once.

    Args:
        slide: what they are outlined on.
        polygons: in level-0 pixels, (n,).
        area_um2: of the polygons, (n,).
        colour: of the outline.

    Raises:
        SlideError, ServerError: a part of the slide cannot be read.
    """
    order = np.argsort(area_um2)
    order = order[area_um2[order] > 0]
    if not order.size:
        return []
    places = dict.fromkeys(int(order[place]) for place in (0, len(order) // 2, -1))
    return [
        _take(slide, polygons[place], place + 1, float(area_um2[place]), colour) for place in places
    ]


def chosen(pictures: Iterable[GalleryObject], median_um2: float) -> dict[str, GalleryObject]:
    """Those of all slides that are smallest, nearest to the median and largest, each once."""
    some = sorted(pictures, key=lambda picture: picture.area_um2)
    if not some:
        return {}
    if len(some) == 1:
        return {"only one": some[0]}
    first, *between, last = some
    if not between:
        return {"smallest": first, "largest": last}
    middle = min(between, key=lambda picture: abs(picture.area_um2 - median_um2))
    return {"smallest": first, "middle": middle, "largest": last}


def _take(slide: Slide, polygon: Area, number: int, area_um2: float, colour: Rgb) -> GalleryObject:
    left, top, right, bottom = polygon.bounds
    x, y = (left + right) / 2, (top + bottom) / 2
    across_um = max((right - left) * slide.mpp.x, (bottom - top) * slide.mpp.y)
    # Not finer than scanned by more than a screen shows well.
    side_um = max(ROOM * across_um, LEAST_UM, SIDE * slide.mpp.mean / 2)
    frame = slide.frame(side_um / SIDE)
    side = math.ceil(side_um / frame.work_mpp)
    box = WorkBox(
        round(x / frame.scale_x) - side // 2, round(y / frame.scale_y) - side // 2, side, side
    )
    rgb = np.ascontiguousarray(channels_to_rgb(slide.read(frame, box)))
    rings = [
        np.asarray(ring.coords)[:, :2] / (frame.scale_x, frame.scale_y) - (box.x, box.y)
        for ring in shapely.get_rings(shapely.get_parts(polygon))
    ]
    # OpenCV counts from the middle of the first pixel, we from its corner.
    points = [np.round((ring - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32) for ring in rings]
    for width, drawn in ((4, (255, 255, 255)), (2, colour)):
        cv2.polylines(
            rgb, points, isClosed=True, color=drawn, thickness=width, lineType=cv2.LINE_AA,
            shift=SUBPIXEL_BITS,
        )  # fmt: skip
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=QUALITY, subsampling=0)
    return GalleryObject(
        slide=slide.name,
        number=number,
        x_level0=x,
        y_level0=y,
        area_um2=area_um2,
        side_um=side * frame.work_mpp,
        jpeg=out.getvalue(),
    )
