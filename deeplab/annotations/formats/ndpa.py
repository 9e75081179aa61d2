"""Annotations as Hamamatsu's NDP.view keeps them, beside its slides: `slide.ndpi.ndpa`.

Places are in nanometres from the middle of the slide of glass, of which the picture's middle lies
away by what the slide states as its offset (https://openslide.org/properties/, hamamatsu.
XOffsetFromSlideCentre). So the slide is needed to know the pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
import shapely
import tifffile
from lxml import etree

from deeplab.annotations.formats.format import Reading, Writing
from deeplab.annotations.formats.gather import LayerGatherer, browser_colour, ellipse
from deeplab.annotations.formats.xml_stream import check_root, elements, points
from deeplab.annotations.glass import NM_PER_UM, Glass, Places
from deeplab.annotations.shapes import Annotations, Property
from deeplab.errors import AnnotationError, ConfigError
from deeplab.geometry.frames import Mpp

ROOT = "annotations"
VIEW = "ndpviewstate"  # one drawing and where the screen was
SLIDE = ".ndpi"
NANOMETRES = "nanometers"
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


def read_ndpa(path: Path, reading: Reading = Reading()) -> Annotations:
    """Read drawings, a layer for each title.

    The slide is `reading.slide_file`, lies beside or is on the server that `reading.glass` asks.

    Raises:
        AnnotationError: it is something else, the slide is not at hand or does not state where it
            lies, or nothing of it can be on a slide.
        ServerError: the server that has the slide failed.
    """
    check_root(path, ROOT, "an NDP.view")
    glass = _glass(path, reading)
    gatherer = LayerGatherer.of(path, reading)
    number = 0
    for event, view in elements(path, (VIEW,)):
        if event == "end":
            number += 1
            with gatherer.sparing():
                _take(view, glass, gatherer, f"drawing {number}", path)
    return gatherer.annotations(mpp=glass.mpp)


def refuse_ndpa(path: Path, _annotations: Annotations, _writing: Writing) -> NoReturn:
    """Say that such files are read only.

    Raises:
        AnnotationError: always.
    """
    raise AnnotationError(path, "files of NDP.view are read, not written; choose another format")


def _glass(path: Path, reading: Reading) -> Glass:
    """Return where the slide's pixels lie, by the file at hand, else by its server.

    Raises:
        AnnotationError: neither says it.
    """
    slide = _slide_of(path, reading)
    if slide is not None:
        return _glass_of(slide, path)
    if reading.glass is None:
        raise AnnotationError(
            path,
            "counts in nanometres from the middle of the glass, so its slide must be at hand: put"
            f" {path.with_suffix(SLIDE).name} beside it",
        )
    glass = reading.glass()
    if glass is None:
        raise AnnotationError(
            path,
            "counts in nanometres from the middle of the glass, and the server does not say where"
            " the pixels of its slide lie on that; export the drawings as another format, or"
            " convert them where the slide's NDPI lies beside",
        )
    return glass


def _glass_of(slide: Path, path: Path) -> Glass:
    """Return what the first picture of an NDPI says.

    Raises:
        AnnotationError: it does not say it.
    """
    try:
        with tifffile.TiffFile(slide, _multifile=False) as tiff:
            page = tiff.pages.first
            x_nm, y_nm = (float(page.tags[tag].value) for tag in OFFSET_TAGS)
            x, y = (
                page.tags[name].value[0] / page.tags[name].value[1]
                for name in ("XResolution", "YResolution")
            )
            return Glass(
                mpp=Mpp(UM_PER_CM / x, UM_PER_CM / y),
                offset_nm=(x_nm, y_nm),
                width_level0=int(page.imagewidth),
                height_level0=int(page.imagelength),
            )
    except (ConfigError, *NO_TIFF) as error:
        raise AnnotationError(
            path,
            f"counts from the middle of the glass, and {slide.name} does not say where its"
            " pixels lie on that; export the drawings as another format",
        ) from error


def _slide_of(path: Path, reading: Reading) -> Path | None:
    """Return the NDPI that is at hand; None: there is none."""
    beside = (path.with_suffix(""), path.with_suffix(SLIDE), path.with_suffix(SLIDE.upper()))
    for slide in (reading.slide_file, *beside):
        if slide and slide.suffix.lower() == SLIDE and slide.is_file():
            return slide
    return None


def _take(view: Any, glass: Glass, gatherer: LayerGatherer, where: str, path: Path) -> None:  # noqa: ANN401  lxml has no types
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
    geometry = draw(drawn, glass, where, path)
    if isinstance(geometry, shapely.Polygon):
        gatherer.add(name, geometry, words)
    elif geometry is not None:
        gatherer.mark(name, geometry, words)


Drawn: TypeAlias = shapely.Polygon | shapely.LineString | shapely.Point | None


def _freehand(drawn: Any, glass: Glass, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    """Return an outline or, where it is open, a line."""
    corners = glass.pixels(points((X(drawn), Y(drawn)), where, path, farthest=FARTHEST_NM))
    if (drawn.findtext("closed") or "1").strip() == "1" and len(corners) > 2:
        return shapely.Polygon(corners)
    return _line(corners, where, path)


def _circle(drawn: Any, glass: Glass, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    (centre,) = _places(drawn, (("x", "y"),), glass, where, path)
    (radii,) = points(([drawn.findtext("radius") or ""],) * 2, where, path, farthest=FARTHEST_NM)
    if radii[0] < 0:
        raise AnnotationError(path, f"the radius of {where} is below 0")
    x, y = radii / NM_PER_UM / np.array([glass.mpp.x, glass.mpp.y])
    return ellipse(centre[0], centre[1], x, y)


def _pin(drawn: Any, glass: Glass, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    return shapely.Point(_places(drawn, (("x", "y"),), glass, where, path)[0])


def _measure(drawn: Any, glass: Glass, where: str, path: Path) -> Drawn:  # noqa: ANN401  lxml
    return _line(_places(drawn, (("x1", "y1"), ("x2", "y2")), glass, where, path), where, path)


def _line(corners: Places, where: str, path: Path) -> Drawn:
    if not len(corners):
        raise AnnotationError(path, f"{where} has no points")
    return shapely.LineString(corners) if len(corners) > 1 else shapely.Point(corners[0])


def _places(
    drawn: Any,  # noqa: ANN401  lxml has no types
    names: Sequence[tuple[str, str]],
    glass: Glass,
    where: str,
    path: Path,
) -> Places:
    texts = tuple([drawn.findtext(pair[axis]) or "" for pair in names] for axis in (0, 1))
    return glass.pixels(points((texts[0], texts[1]), where, path, farthest=FARTHEST_NM))


KINDS: Mapping[str, Callable[[Any, Glass, str, Path], Drawn]] = {
    "freehand": _freehand,
    "circle": _circle,
    "pin": _pin,
    "linearmeasure": _measure,
    "pointer": _measure,
}
