"""The scale that an OME-TIFF states in its XML, which not every reader looks at."""

from __future__ import annotations

from pathlib import Path

import tifffile
from lxml import etree

from deeplab.errors import ConfigError
from deeplab.geometry.frames import Mpp

MAX_CHARACTERS = 16 * 2**20  # of the XML; that of a large plate has a few
# Units of length by the OME schema (2016-06), in um; it writes um where none is named.
UM = {"nm": 1e-3, "µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


def ome_mpp(path: Path) -> Mpp | None:
    """The um per level-0 pixel of the first image of an OME-TIFF; None where it states none."""
    try:
        with tifffile.TiffFile(path) as file:
            text = file.ome_metadata
    except (OSError, ValueError, LookupError):
        return None
    return _stated(text) if text and len(text) <= MAX_CHARACTERS else None


def _stated(text: str) -> Mpp | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        pixels = etree.fromstring(text.encode(), parser).find(".//{*}Pixels")
        if pixels is None:
            return None
        x, y = (
            float(pixels.get(f"PhysicalSize{axis}"))
            * UM[pixels.get(f"PhysicalSize{axis}Unit", "µm")]
            for axis in "XY"
        )
        return Mpp(x, y)
    except (etree.XMLSyntaxError, TypeError, ValueError, KeyError, ConfigError):
        return None
