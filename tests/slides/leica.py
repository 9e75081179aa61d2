"""Slides of a Leica scanner: a macro image of the glass, and regions that were scanned of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from tests.slides_for_tests import Rgb, halved

MPP = 0.5
GLASS = (3000, 2000)  # of the slide, in pixels of the regions
MACRO = np.full((256, 384, 3), 220, np.uint8)
HEAD = (
    '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
    '<collection name="c" uuid="u" sizeX="{0}" sizeY="{1}">'
)
SETTINGS = (
    "<scanSettings><objectiveSettings><objective>{}</objective></objectiveSettings>"
    "<illuminationSettings><numericalAperture>0.4</numericalAperture><illuminationSource>"
    "brightfield</illuminationSource></illuminationSettings></scanSettings>"
)
IMAGE = (
    '<image name="i" uuid="i"><creationDate>2020-01-01T00:00:00Z</creationDate>'
    '<device model="S" version="1"/><pixels sizeX="{w}" sizeY="{h}">{dimensions}</pixels>'
    '<view sizeX="{nw}" sizeY="{nh}" offsetX="{x}" offsetY="{y}" spacingZ="0"/>{settings}</image>'
)
DIMENSION = '<dimension sizeX="{}" sizeY="{}" r="{}" ifd="{}"/>'


@dataclass(frozen=True, slots=True)
class Region:
    """What was scanned at a place of the glass, in pixels; with what objective."""

    rgb: Rgb
    x: int = 0
    y: int = 0
    objective: int = 20


def write_leica(
    path: Path,
    regions: Sequence[Region],
    *,
    levels: int = 2,
    macro: bool = True,
    doctype: str = "",
    compression: str = "lzw",
) -> Path:
    """A slide of these regions; `doctype` is put before the root of its XML."""
    nm = round(1000 * MPP)
    body, pages = "", []
    scanned = [(MACRO, 0, 0, GLASS, 1, 1)] if macro else []
    scanned += [
        (each.rgb, each.x, each.y, each.rgb.shape[1::-1], each.objective, levels)
        for each in regions
    ]
    for rgb, x, y, (width, height), objective, count in scanned:
        dimensions = ""
        level, um = rgb, MPP * width / rgb.shape[1]
        for r in range(count):
            dimensions += DIMENSION.format(*level.shape[1::-1], r, len(pages))
            pages.append((level, um * 2**r))
            level = halved(level)
        body += IMAGE.format(
            w=rgb.shape[1],
            h=rgb.shape[0],
            dimensions=dimensions,
            nw=width * nm,
            nh=height * nm,
            x=x * nm,
            y=y * nm,
            settings=SETTINGS.format(objective),
        )
    head = HEAD.format(*(side * nm for side in GLASS)).replace("?>", f"?>{doctype}", 1)
    xml = f"{head}{body}</collection></scn>"
    options = {"photometric": "rgb", "metadata": None, "software": False, "tile": (128, 128)}
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for number, (rgb, um) in enumerate(pages):
            tiff.write(
                rgb,
                description=None if number else xml,
                resolution=(1e4 / um, 1e4 / um),
                resolutionunit=3,
                compression=compression,
                **options,
            )
    return path
