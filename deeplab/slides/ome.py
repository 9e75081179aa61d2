"""The scale and the channels that an OME-TIFF states in its XML."""

from __future__ import annotations

from typing import Any

from lxml import etree

from deeplab.errors import ConfigError
from deeplab.geometry.frames import Mpp
from deeplab.slides.faults import READ_FAULTS

MAX_CHARACTERS = 16 * 2**20  # of the XML; that of a large plate has a few
# Units of length by the OME schema (2016-06), in um; it writes um where none is named.
UM = {"nm": 1e-3, "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def ome_mpp(text: str | None, width: int, height: int, *, page: int = 0) -> Mpp | None:
    """Return the um per pixel of the image of this size in the XML of an OME-TIFF.

    Of several the one whose first page this is, else the first. The only image is taken whatever
    its size; None where the one or the other is not stated.
    """
    chosen = _image_of(text, width, height, page)
    return None if chosen is None else _stated(chosen)


def ome_channels(text: str | None, width: int, height: int, *, page: int = 0) -> tuple[str, ...]:
    """Return the names of the channels of an image, found as for `ome_mpp`; empty where unnamed."""
    chosen = _image_of(text, width, height, page)
    channels = [] if chosen is None else chosen.findall("{*}Channel")
    return tuple(str(each.get("Name") or "").strip() for each in channels)


def _image_of(text: str | None, width: int, height: int, page: int) -> Any:  # noqa: ANN401  lxml
    """Return the pixels of the image of this size whose first page this is; None of no image."""
    try:
        images = parse_xml(text).findall(".//{*}Pixels") if text else []
    except READ_FAULTS:
        return None
    size = (str(width), str(height))
    fitting = [each for each in images if (each.get("SizeX"), each.get("SizeY")) == size]
    fitting.sort(key=lambda each: _first_page(each) != page)
    return next(iter(fitting), images[0] if len(images) == 1 else None)


def page_of_last(text: str | None) -> int:
    """Return the first page of the last image that has the first one's size and count of planes.

    large_image's ometiff source (1.35) shows that one of a file in tiles; 0 where it is the first
    image, or where that source refuses the file: it takes several images of one size only if
    there is one page for each plane of the first.
    """
    try:
        images = parse_xml(text).findall("{*}Image") if text else []
        pixels = [each for image in images for each in image.findall("{*}Pixels")]
        if len(pixels) < len(images) or len(pixels) <= 1:
            return 0
        first = pixels[0]
        planes, data = first.findall("{*}Plane"), first.findall("{*}TiffData")
        several = len(planes or first.findall("{*}Channel"))
        count = len(data)
        if count == 1 and several:
            is_bare = not data[0].attrib and not len(data[0])
            if is_bare or data[0].get("PlaneCount") in ("1", str(several)):
                count = several
        files = {each.get("FileName", "") for each in first.findall("{*}TiffData/{*}UUID")}
        if len(files) > 1 or count != int(first.get("SizeT")) * int(first.get("SizeZ")):
            return 0
        alike = [each for each in pixels if _likeness(each) == (*_likeness(first)[:2], count)]
        return _first_page(alike[-1]) if alike and len(planes) in (0, count) else 0
    except READ_FAULTS:
        return 0


def _likeness(pixels: Any) -> tuple[str, str, int]:  # noqa: ANN401  lxml has no types
    """Return the size of an image, and how many elements tell where its planes lie."""
    return pixels.get("SizeX"), pixels.get("SizeY"), len(pixels.findall("{*}TiffData"))


def _first_page(pixels: Any) -> int:  # noqa: ANN401  lxml has no types
    """Return the index of the page that an image begins at; 0 where none is stated."""
    data = pixels.find("{*}TiffData")
    stated = "" if data is None else data.get("IFD", "")
    return int(stated) if stated.isdecimal() else 0


def parse_xml(text: str) -> Any:  # noqa: ANN401  lxml has no types
    """Return the root of an XML that a slide holds; nothing outside of it is looked up.

    Raises:
        ValueError: it has more than `MAX_CHARACTERS`.
        SyntaxError: it is no XML.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"has {len(text):,} characters of XML")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(text.encode(), parser)


def _stated(pixels: Any) -> Mpp | None:  # noqa: ANN401  lxml has no types
    try:
        x, y = (
            float(pixels.get(f"PhysicalSize{axis}"))
            * UM[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "XY"
        )
        return Mpp(x, y)
    except (TypeError, ValueError, KeyError, ConfigError):
        return None
