"""Pieces of held-out slides beside each other: as scanned, as drawn, as predicted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Truth
from deeplab.config.classes import IGNORE, ClassList
from deeplab.config.classes import Rgb as Colour
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import ServerError, SlideError
from deeplab.slides.colours import channels_to_rgb
from deeplab.training.validation.results import Region, Validation

log = logging.getLogger(__name__)

Kind = Literal["best", "typical", "worst"]
KINDS: tuple[Kind, ...] = ("best", "typical", "worst")

PANEL = 384  # pixels of a panel's longer side
GAP = 8
LINE, HALO = 2, 4  # pixels: outlines lie on white, to be seen on tissue of their own colour
UNTYPED = (90, 90, 90)  # colour of an object of no known type
TINT = 0.1  # of a class over its area: says which side of a line is inside
BAR_UM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

Picture = NDArray[np.uint8]  # (height, width, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A region in three panels.

    Attributes:
        kind: why it is shown.
        slide: its name.
        x_level0: of its left edge.
        y_level0: of its top edge.
        error_share: how much of what was judged is wrong.
        bar_um: what the scale bar stands for.
        commonest_error: names of the true and the predicted class; None where all is right.
        panels: as scanned, as drawn, as predicted, side by side, uint8 (height, width, 3).
        judged: kind of what was judged, see `Tally`.
    """

    kind: Kind
    slide: str
    x_level0: int
    y_level0: int
    error_share: float
    bar_um: float
    commonest_error: tuple[str, str] | None
    panels: Picture = field(repr=False)
    judged: str = "labels"


def examples_of(
    validation: Validation, slides: Mapping[str, AnnotatedSlide], classes: ClassList, *, each: int
) -> list[Example]:
    """Examples of the best, the typical and the worst regions, no region twice.

    Args:
        validation: of the model that is kept.
        slides: those that were judged, by name.
        classes: with the colours of the outlines.
        each: at most so many of each kind; those that cannot be read any more are left out.
    """
    chosen: dict[int, tuple[Kind, Region]] = {}
    for kind, regions in (
        ("worst", validation.worst(each)),
        ("best", validation.best(each)),
        ("typical", validation.typical(each)),
    ):
        for region in regions:
            chosen.setdefault(id(region), (kind, region))  # type: ignore[arg-type]
    ordered = sorted(chosen.values(), key=lambda pair: (KINDS.index(pair[0]), pair[1].error_share))
    found = []
    for kind, region in ordered:
        try:
            found.append(_example(kind, region, slides[region.slide], classes))
        except (SlideError, ServerError) as error:
            log.warning("no picture of %s: %s", region.slide, error)
    return found


def region_panels(
    region: Region, slide: AnnotatedSlide, classes: ClassList
) -> tuple[Picture, float]:
    """Return a region as scanned, as drawn and as predicted, and the um of its scale bar.

    Raises:
        SlideError, ServerError: as reading does.
    """
    prediction = region.prediction
    pixels, truth = slide.read(region.frame, region.box, prediction.keys())
    bar_um = _bar_um(region.box.width * region.frame.work_mpp)
    panels = three_panels(
        channels_to_rgb(pixels),
        truth=truth,
        prediction=prediction,
        classes=classes,
        bar_px=bar_um / region.frame.work_mpp,
    )
    return panels, bar_um


def _example(kind: Kind, region: Region, slide: AnnotatedSlide, classes: ClassList) -> Example:
    names = ("background", *classes.names)
    error = region.commonest_error
    corner = region.frame.to_level0(region.box)
    panels, bar_um = region_panels(region, slide, classes)
    return Example(
        kind=kind,
        slide=region.slide,
        x_level0=round(corner.x0),
        y_level0=round(corner.y0),
        error_share=region.error_share,
        bar_um=bar_um,
        commonest_error=(names[error[0]], names[error[1]]) if error else None,
        panels=panels,
        judged=region.tally.kind,
    )


def three_panels(
    rgb: Picture, *, truth: Truth, prediction: Truth, classes: ClassList, bar_px: float
) -> Picture:
    """Return a piece as scanned, with what was drawn, and with what was predicted.

    Args:
        rgb: uint8 (height, width, 3).
        truth: rasters of the same size; what is to be ignored is veiled in grey.
        prediction: likewise, of the same kinds.
        classes: with the colours of the outlines.
        bar_px: length of the scale bar in pixels of `rgb`.
    """
    height, width = rgb.shape[:2]
    zoom = PANEL / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    plain = np.asarray(cv2.resize(np.ascontiguousarray(rgb), size, interpolation=way), np.uint8)
    panels = [_with_bar(plain, bar_px * zoom)]
    rows, columns = (
        np.minimum((np.arange(large) + 0.5) * small / large, small - 1).astype(np.intp)
        for large, small in ((size[1], height), (size[0], width))
    )
    for rasters in (truth, prediction):
        large = {kind: raster[np.ix_(rows, columns)] for kind, raster in rasters.items()}
        panels.append(outlined(plain, large, classes))
    gap = np.full((size[1], GAP, 3), 255, np.uint8)
    return np.hstack([panels[0], gap, panels[1], gap, panels[2]])


def outlined(rgb: Picture, rasters: Truth, classes: ClassList) -> Picture:
    """Return a copy with outlines and a tint of the classes in their colours.

    Args:
        rgb: uint8 (height, width, 3).
        rasters: "labels" and, where objects are told apart, "instances", each (height, width).
        classes: with the colours.
    """
    picture, labels = np.array(rgb), rasters["labels"]
    # Where objects are not told apart, all of a class is outlined as one.
    instances = rasters.get("instances", (labels != IGNORE) & (labels > 0))
    _blend(picture, (labels == IGNORE) & (instances == 0), (200, 200, 200), 0.65)
    for label, each in enumerate(classes, start=1):
        _blend(picture, labels == label, each.colour, TINT)
    lines = [
        (_contours(mask), colour)
        for label, colour in _colours(classes)
        for mask in _masks(labels == label, instances)
    ]
    for contours, _ in lines:
        cv2.drawContours(picture, contours, -1, (255, 255, 255), HALO, cv2.LINE_AA)
    for contours, colour in lines:
        cv2.drawContours(picture, contours, -1, colour, LINE, cv2.LINE_AA)
    return picture


def _colours(classes: ClassList) -> Iterator[tuple[int, Colour]]:
    """Labels of what is outlined, and its colour; an object of no known type has none's."""
    yield from ((label, each.colour) for label, each in enumerate(classes, start=1))
    yield IGNORE, UNTYPED


def _masks(area: NDArray[np.bool_], instances: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    """Yield each object of the area of a label."""
    for number in np.unique(instances[area]):
        if number:
            yield (area & (instances == number)).astype(np.uint8)


def _contours(mask: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    # What goes on beyond the picture has no line along its edge.
    wide = cv2.copyMakeBorder(mask, HALO, HALO, HALO, HALO, cv2.BORDER_REPLICATE)
    found, _ = cv2.findContours(wide, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(-HALO, -HALO))
    return [np.asarray(contour, np.int32) for contour in found]


def _blend(picture: Picture, where: NDArray[np.bool_], colour: Colour, share: float) -> None:
    picture[where] = ((1 - share) * picture[where] + share * np.array(colour)).astype(np.uint8)


def _bar_um(width_um: float) -> float:
    """Return the longest round length that is at most a third of the width."""
    fitting = [length for length in BAR_UM if length <= width_um / 3]
    return float(fitting[-1]) if fitting else width_um / 3


def _with_bar(rgb: Picture, length: float) -> Picture:
    picture = np.array(rgb)
    height = picture.shape[0]
    left, bottom = 10, height - 10
    right = left + max(1, round(length))
    cv2.rectangle(picture, (left - 2, bottom - 7), (right + 2, bottom + 2), (255, 255, 255), -1)
    cv2.rectangle(picture, (left, bottom - 5), (right, bottom), (0, 0, 0), -1)
    return picture
