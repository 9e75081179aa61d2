"""Annotations as Hamamatsu's NDP.view keeps them, beside its slides: `slide.ndpi.ndpa`.

Places are in nanometres from the middle of the slide of glass, of which the picture's middle lies
away by what the slide states as its offset (https://openslide.org/properties/, hamamatsu.
XOffsetFromSlideCentre). So the slide is needed to know the pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self, TypeAlias

import numpy as np
import shapely
import tifffile
from lxml import etree
from numpy.typing import NDArray

from deeplab.annotations.format import Reading, Writing
from deeplab.annotations.gather import LayerGatherer, browser_colour, ellipse
from deeplab.annotations.shapes import Annotations, Property
from deeplab.annotations.xml_stream import check_root, elements, points
from deeplab.errors import AnnotationError, ConfigError
from deeplab.geometry.frames import Mpp

ROOT = "annotations"
VIEW = "ndpviewstate"  # one drawing and where the screen was
SLIDE = ".ndpi"
NANOMETRES = "nanometers"
NM_PER_UM = 1000.0
UM_PER_CM = 10_000.0
FARTHEST_NM = 1e9  # a metre; a slide of glass has 76 mm
OFFSET_TAGS = (65422, 65423)  # x and y, in nanometres
X = etree.XPath("pointlist/point/x/text()", smart_strings=False)
Y = etree.XPath("pointlist/point/y/text()", smart_strings=False)
UNNAMED = "unclassified"
DETAILS = "text"  # the property that the details of a drawing are
NO_TIFF = (
    *(OSError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError),
    *(AttributeError, struct.error, tifffile.TiffFileError),
)

Places = NDArray[np.float64]  # (places, 2) as x, y


def read_ndpa(path: Path, reading: Reading = Reading()) -> Annotations:
    """Read drawings, a layer for each title; the slide is `reading.slide_file` or lies beside.

    Raises:
        AnnotationError: it is something else, the slide is not at hand or does not state where it
            lies, or nothing of it can be on a slide.
    """
    check_root(path, ROOT, "an NDP.view")
    frame = _Frame.of(_slide_of(path, reading), path)
    gatherer = LayerGatherer.of(path, reading)
    number = 0
    for event, view in elements(path, (VIEW,)):
        if event == "end":
            number += 1
            with gatherer.sparing():
                _take(view, frame, gatherer, f"drawing {number}", path)
    return gatherer.annotations(mpp=frame.mpp)


def refuse_ndpa(path: Path, _annotations: Annotations, _writing: Writing) -> NoReturn:
    """Say that such files are read only.

    Raises:
        AnnotationError: always.
    """
    raise AnnotationError(path, "files of NDP.view are read, not written; choose another format")


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the pixels of a slide lie on its glass."""

    mpp: Mpp
    offset_nm: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def of(cls, slide: Path, path: Path) -> Self:
        """What the first picture of an NDPI says.

        Raises:
            AnnotationError: it does not say it.
        """
        try:
            with tifffile.TiffFile(slide) as tiff:
                page = tiff.pages.first
                x_nm, y_nm = (float(page.tags[tag].value) for tag in OFFSET_TAGS)
                x, y = (
                    page.tags[name].value[0] / page.tags[name].value[1]
                    for name in ("XResolution", "YResolution")
                )
                mpp = Mpp(UM_PER_CM / x, UM_PER_CM / y)
                return cls(mpp, (x_nm, y_nm), (int(page.imagewidth), int(page.imagelength)))
        except (ConfigError, *NO_TIFF) as error:
            raise AnnotationError(
                path,
                f"counts from the middle of the glass, and {slide.name} does not say where its"
                " pixels lie on that; export the drawings as another format",
            ) from error

    def pixels(self, places_nm: Places) -> Places:
        """Level-0 pixels of places on the glass."""
        scale = NM_PER_UM * np.array([self.mpp.x, self.mpp.y])
        pixels: Places = (places_nm - np.array(self.offset_nm)) / scale + np.array(self.size) / 2
        return pixels


def _slide_of(path: Path, reading: Reading) -> Path:
    beside = (path.with_suffix(""), path.with_suffix(SLIDE), path.with_suffix(SLIDE.upper()))
    for slide in (reading.slide_file, *beside):
        if slide and slide.suffix.lower() == SLIDE and slide.is_file():
            return slide
    raise AnnotationError(
        path,
        "counts in nanometres from the middle of the glass, so its slide must be at hand: put"
        f" {beside[1].name} beside it",
    )


def _take(view: Any, frame: _Frame, gatherer: LayerGatherer, where: str, path: Path) -> None:  # noqa: ANN401  lxml has no types
    """Put what was drawn into the layer of its title."""
    given = (view.findtext("coordformat") or NANOMETRES).strip().lower()
    if given != NANOMETRES:
        raise AnnotationError(path, f"{where} is in {given[:40]}, not in {NANOMETRES}")
    drawn = view.find("annotation")
    if drawn is None:
        raise AnnotationError(path, f"{where} has no annotation")
    name = (view.findtext("title") or "").strip() or UNNAMED
    text = (view.findtext("details") or "").strip()
    words: dict[str, Property] = {DETAILS: text} if text else {}
    kind = (drawn.get("type") or "").lower()
    draw = KINDS.get(kind)
    gatherer.open(name, browser_colour(drawn.get("color")))
    if draw is None:
        gatherer.skip(f"annotation {kind!r}")
        return
    geometry = draw(drawn, frame, where, path)
    if isinstance(geometry, shapely.Polygon):
        gatherer.add(name, geometry, words)
    elif geometry is not None:
        gatherer.mark(name, geometry, words)


Drawn: TypeAlias = shapely.Polygon | shapely.LineString | shapely.Point | None


def _freehand(drawn: Any, frame: _Frame, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    """An outline or, where it is open, a line."""
    corners = frame.pixels(points((X(drawn), Y(drawn)), where, path, farthest=FARTHEST_NM))
    if (drawn.findtext("closed") or "1").strip() == "1" and len(corners) > 2:
        return shapely.Polygon(corners)
    return _line(corners, where, path)


def _circle(drawn: Any, frame: _Frame, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    (centre,) = _places(drawn, (("x", "y"),), frame, where, path)
    (radii,) = points(([drawn.findtext("radius") or ""],) * 2, where, path, farthest=FARTHEST_NM)
    if radii[0] < 0:
        raise AnnotationError(path, f"the radius of {where} is below 0")
    x, y = radii / NM_PER_UM / np.array([frame.mpp.x, frame.mpp.y])
    return ellipse(centre[0], centre[1], x, y)


def _pin(drawn: Any, frame: _Frame, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    return shapely.Point(_places(drawn, (("x", "y"),), frame, where, path)[0])


def _measure(drawn: Any, frame: _Frame, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    return _line(_places(drawn, (("x1", "y1"), ("x2", "y2")), frame, where, path), where, path)


def _line(corners: Places, where: str, path: Path) -> Drawn:
    if not len(corners):
        raise AnnotationError(path, f"{where} has no points")
    return shapely.LineString(corners) if len(corners) > 1 else shapely.Point(corners[0])


def _places(
    drawn: Any,  # noqa: ANN401  lxml has no types
    names: Sequence[tuple[str, str]],
    frame: _Frame,
    where: str,
    path: Path,
) -> Places:
    texts = tuple([drawn.findtext(pair[axis]) or "" for pair in names] for axis in (0, 1))
    return frame.pixels(points((texts[0], texts[1]), where, path, farthest=FARTHEST_NM))


KINDS: Mapping[str, Callable[[Any, _Frame, str, Path], Drawn]] = {
    "freehand": _freehand,
    "circle": _circle,
    "pin": _pin,
    "linearmeasure": _measure,
    "pointer": _measure,
}
