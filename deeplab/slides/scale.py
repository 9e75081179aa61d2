"""The um per pixel that a slide states, always those of the picture that is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tifffile
from large_image_source_openslide import OpenslideFileTileSource

from deeplab.errors import ConfigError, ScaleError
from deeplab.geometry.frames import Mpp
from deeplab.slides.large_image_slide import LargeImageTiles, try_source
from deeplab.slides.ome import UM, ome_mpp
from deeplab.slides.tiff_pages import TiffImage

PRINT_MPP = 20.0  # um; coarser than any scan: 300 dots per inch of a printer are 85 um
FINEST_UPSAMPLING = 1.5  # a slide may be this much coarser than a network wants, no more
UM_OF_20X = 10.0  # um per pixel times the magnification: 0.5 um at 20x, 0.25 at 40x
# Units of ImageJ and Fiji besides those of OME, in um; a µ may stand as a code of six letters.
IMAGEJ_UM = {
    **UM,
    **dict.fromkeys(("micron", "microns", "micrometer", "micrometre", "micrometers"), 1.0),
    **dict.fromkeys(("nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("meter", "metre"), 1e6),
    **dict.fromkeys(("inch", "inches", "in"), 25_400.0),
}
TAG_UM = {
    2: 25_400.0,
    3: 10_000.0,
    4: 1_000.0,
    5: 1.0,
}  # units of TIFF; 4 and 5 are of some writers

# Where a description of a TIFF states the magnification: Aperio, OME, Ventana and others.
MAGNIFICATIONS = re.compile(
    r"(?:AppMag\s*=\s*|NominalMagnification=\"|<Magnification>|<objective>|\bMagnification=\""
    r"|\bObjective(?:\s*Power)?\s*[=:]\s*)(\d+(?:\.\d+)?)"
)
MAX_MAGNIFICATION = 1000.0
INCH = 2


def check_upsampling(name: str, mpp: float, work_mpp: float) -> None:
    """Raise ScaleError where a slide is so coarse that what a network looks for is not in it.

    Args:
        name: of the slide.
        mpp: um per pixel of its full resolution.
        work_mpp: at which the network works.
    """
    if mpp > FINEST_UPSAMPLING * work_mpp:
        raise ScaleError(
            name, f"has {mpp:.3g} um per pixel, too coarse for a model of {work_mpp:.3g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a file states: um per level-0 pixel, and the magnification of the objective."""

    mpp: Mpp | None
    magnification: float | None = None


def stated_scale(
    path: Path,
    tiff: tifffile.TiffFile,
    shown: LargeImageTiles | None,
    picture: TiffImage | None,
) -> Scale:
    """Return what a TIFF states of the picture that is `shown`.

    A scale that can be a scanner's goes before one that is a printer's, wherever both stand.
    """
    stated: list[Mpp] = []
    for scale in _stated(path, tiff, shown, picture):
        if scale is not None:
            stated.append(scale)
            if scale.mean <= PRINT_MPP:
                return Scale(mpp=scale, magnification=_magnification(tiff, shown))
    return Scale(mpp=next(iter(stated), None), magnification=_magnification(tiff, shown))


def _stated(
    path: Path,
    tiff: tifffile.TiffFile,
    shown: LargeImageTiles | None,
    picture: TiffImage | None,
) -> Iterator[Mpp | None]:
    """Yield what each place that may state a scale says, the most trusted first."""
    if picture is not None and tiff.is_imagej:
        yield _imagej(tiff, picture.page)
    # The others have the scale of the first picture of an OME-TIFF, whichever they show.
    if shown is not None and shown.source in ("tiff", "openslide"):
        yield shown.stated_mpp()
    if picture is not None:
        yield _of_tags(picture.page)
    yield _of_ome(tiff, shown, picture)
    if shown is not None and shown.source != "openslide":
        yield _of_openslide(path, shown)


def usual_mpp(magnification: float) -> float:
    """Return the um per pixel that scanners have at a magnification."""
    return UM_OF_20X / magnification


def _of_tags(page: tifffile.TiffPage) -> Mpp | None:
    um = TAG_UM.get(page.tags.valueof(296, default=INCH))
    x, y = _per_unit(page)
    return _mpp(um / x, um / y) if um and x and y else None


def _imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Mpp | None:
    """Return the scale of ImageJ: pixels per unit in the tags, the unit in the description."""
    told = tiff.imagej_metadata or {}
    unit, yunit = _unit(told.get("unit")), _unit(told.get("yunit", told.get("unit")))
    x, y = _per_unit(page)
    if not (unit in IMAGEJ_UM and yunit in IMAGEJ_UM and x and y):
        return None
    return _mpp(IMAGEJ_UM[unit] / x, IMAGEJ_UM[yunit] / y)


def _unit(told: object) -> str:
    text = str(told or "").strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ")
    return text if text in IMAGEJ_UM else text.lower()


def _per_unit(page: tifffile.TiffPage) -> tuple[float, float]:
    x, y = (page.tags.valueof(tag, default=(0, 1)) for tag in (282, 283))
    return _fraction(x), _fraction(y)


def _fraction(value: object) -> float:
    match value:
        case (int(above), int(below)) if below:
            return above / below
        case int() | float():
            return float(value)
    return 0.0


def _of_ome(
    tiff: tifffile.TiffFile, shown: LargeImageTiles | None, picture: TiffImage | None
) -> Mpp | None:
    if not tiff.is_ome:
        return None
    if picture is not None:
        page = picture.page
        return ome_mpp(tiff.ome_metadata, page.imagewidth, page.imagelength, page=page.index)
    shape = shown.shape if shown else None
    return ome_mpp(tiff.ome_metadata, shape.width_level0, shape.height_level0) if shape else None


def _of_openslide(path: Path, shown: LargeImageTiles) -> Mpp | None:
    opened = try_source(OpenslideFileTileSource, path)
    if opened is None:
        return None
    same = (opened.shape.width_level0, opened.shape.height_level0) == (
        shown.shape.width_level0,
        shown.shape.height_level0,
    )
    stated = opened.stated_mpp() if same else None
    opened.close()
    return stated


def _mpp(x: float, y: float) -> Mpp | None:
    try:
        return Mpp(x, y)
    except ConfigError:
        return None


def _magnification(tiff: tifffile.TiffFile, shown: LargeImageTiles | None) -> float | None:
    stated = shown.stated_magnification() if shown else None
    if stated is None:
        found = MAGNIFICATIONS.search(tiff.pages.first.description)
        stated = float(found[1]) if found else None
    return stated if stated and 0 < stated <= MAX_MAGNIFICATION else None
