"""The scale that an OME-TIFF states in its XML, which not every reader looks at."""

from __future__ import annotations

from typing import Any

from lxml import etree

from deeplab.errors import ConfigError
from deeplab.geometry.frames import Mpp
from deeplab.slides.faults import READ_FAULTS

MAX_CHARACTERS = 16 * 2**20  # of the XML; that of a large plate has a few
# Units of length by the OME schema (2016-06), in um; it writes um where none is named.
UM = {"nm": 1e-3, "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def ome_mpp(text: str | None, width: int, height: int) -> Mpp | None:
    """Return the um per pixel of the image of this size in the XML of an OME-TIFF.

    The only image is taken whatever its size; None where the one or the other is not stated.
    """
    try:
        images = parse_xml(text).findall(".//{*}Pixels") if text else []
    except READ_FAULTS:
        return None
    size = (str(width), str(height))
    fitting = [each for each in images if (each.get("SizeX"), each.get("SizeY")) == size]
    chosen = next(iter(fitting), images[0] if len(images) == 1 else None)
    return None if chosen is None else _stated(chosen)


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
