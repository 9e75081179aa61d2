"""The pixels of a slide's objects, each read through a window of its own, in order of place."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import fill_polygon
from deeplab.annotations.shapes import Area
from deeplab.config.features_request import Staining
from deeplab.features import pixels
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.slides.slide import Slide

Floats = NDArray[np.float64]

READ_MPP = "read_mpp"
COLUMNS = (READ_MPP, *pixels.COLUMNS)

MAX_PIXELS = 2**20  # of a window: one object costs 0.2 GB at most, however large it is
THREADS = 4  # what they wait for is the slide's disk or server as much as a core
AHEAD = 256  # objects given to the threads at a time
BAND = 512  # work pixels: objects are read in bands of this height, from left to right


def columns_read(channels: Sequence[str]) -> tuple[str, ...]:
    """Return what is measured of the pixels of channels of these names; of none: of colours."""
    return (READ_MPP, *pixels.intensity_columns(channels)) if channels else COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelReading:
    """How pixels are read: `work_mpp` um each, where the slide is as fine and the window allows."""

    work_mpp: float
    staining: Staining


def measure_windows(
    slide: Slide,
    polygons: NDArray[np.object_],
    reading: PixelReading,
    tick: Callable[[], None],
) -> dict[str, Floats]:
    """Return every one of `columns_read`, (n,) each, of polygons in level-0 pixels.

    `read_mpp` is the um per pixel at which an object was read: an object too large for a window of
    `MAX_PIXELS` is read at two, four, ... times `reading.work_mpp`. NaN where no pixel's centre
    lies in the object.

    Args:
        slide: what they are outlined on.
        polygons: (n,).
        reading: at which scale, and what the stains are.
        tick: called after each object.

    Raises:
        SlideError, ServerError: a part of the slide cannot be read.
    """
    columns = columns_read([channel.name for channel in slide.seen])
    rows = np.full((len(polygons), len(columns)), np.nan)
    order = _by_place(polygons, BAND * reading.work_mpp / slide.mpp.y)

    def measure(place: int) -> list[float]:
        found = _measure(slide, polygons[place], reading)
        return [found.get(column, np.nan) for column in columns]

    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="windows")
    # Entered here and not at each call: threads share the filters.
    with warnings.catch_warnings():
        # It calls properties of scikit-image by their old names.
        warnings.filterwarnings(  # noqa: TID251  nobody who runs the task can mend it
            "ignore", ".RegionProperties", FutureWarning, "histomicstk.segmentation.nuclear"
        )
        try:
            for start in range(0, len(order), AHEAD):
                some = order[start : start + AHEAD]
                for place, row in zip(some, pool.map(measure, some), strict=True):
                    rows[place] = row
                    tick()
        finally:
            pool.shutdown(cancel_futures=True)
    return dict(zip(columns, rows.T, strict=True))


def _by_place(polygons: NDArray[np.object_], band_level0: float) -> list[int]:
    """Places of the polygons with an area, in bands from the top, each from left to right."""
    bounds = shapely.bounds(polygons)
    there = np.flatnonzero(np.isfinite(bounds).all(axis=1) & (shapely.area(polygons) > 0))
    left, top = bounds[there, 0], bounds[there, 1]
    return [int(place) for place in there[np.lexsort((left, top // band_level0))]]


def _measure(slide: Slide, polygon: Area, reading: PixelReading) -> dict[str, float]:
    """Return what is measured of the pixels of a polygon; nothing where it covers none."""
    frame, box = _window(slide, polygon, reading.work_mpp)
    mask = np.zeros((box.height, box.width), np.uint8)
    fill_polygon(
        mask,
        polygon,
        1,
        x_origin=box.x,
        y_origin=box.y,
        scale_x=frame.scale_x,
        scale_y=frame.scale_y,
    )
    if not mask.any():
        return {}
    window, inside = slide.read(frame, box), mask.astype(np.bool_)
    if slide.seen:
        found = pixels.measure_intensity(window, inside, slide.seen)
    else:
        found = pixels.measure_pixels(
            window, inside, work_mpp=frame.work_mpp, staining=reading.staining
        )
    return {READ_MPP: frame.work_mpp, **found}


def _window(slide: Slide, polygon: Area, work_mpp: float) -> tuple[WorkFrame, WorkBox]:
    """The part of the slide around a polygon, at the finest scale at which it is small enough."""
    left, top, right, bottom = polygon.bounds
    around = Level0Box(left, top, right - left, bottom - top)
    mpp = max(work_mpp, slide.mpp.mean)  # finer than it was scanned there is nothing to see
    while True:
        frame = slide.frame(mpp)
        box = frame.to_work(around).intersection(frame.box)
        if box.width * box.height <= MAX_PIXELS:
            return frame, box
        mpp *= 2
