"""Pictures of cameras and programs, PNG, JPEG and the like, as bands of RGB rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from large_image.tilesource.utilities import _imageToNumpy
from PIL import Image

from deeplab.errors import UnreadableSlideError
from deeplab.slides.codestreams import claim_of
from deeplab.slides.colours import to_rgb
from deeplab.slides.faults import READ_FAULTS
from deeplab.slides.limits import (
    MAX_JPEG2000_PIXELS,
    MAX_SIDE,
    MAX_UNTILED_PIXELS,
    TILED_COPY,
)
from deeplab.slides.pyramid import Rgb
from deeplab.slides.untiled import BAND_ROWS, UntiledTiles

# Of Pillow's forty; others start programs, follow names, or are no slides.
FORMATS = ("PNG", "JPEG", "BMP", "JPEG2000", "WEBP", "GIF", "PPM")
LONGEST_HEAD = 2**22  # bytes; a profile of colours may stand before the size
NUMBERS = ("I", "F")  # Pillow's modes of samples that are no bytes


def open_picture(path: Path) -> UntiledTiles:
    """Return the tiles of a picture.

    Raises:
        UnreadableSlideError: it claims more than can be decoded in one piece, or is damaged.
    """
    try:
        # By its handle: Pillow maps a file that it knows the name of into memory.
        with path.open("rb") as file:
            claim = claim_of(file.read(LONGEST_HEAD))
            file.seek(0)
            with Image.open(file, formats=FORMATS) as picture:
                width, height = picture.size
                if claim is None and picture.format == "JPEG2000":  # Pillow goes by its boxes
                    raise ValueError("its codestream is not found")
                sizes = [(width, height)] + ([claim[:2]] if claim else [])
                _check(path, picture.format or "", sizes)
                bands = _bands(picture)
                description = f"Pillow {picture.format}"
                return UntiledTiles(path, width, height, bands, description=description)
    except READ_FAULTS as error:
        raise UnreadableSlideError(
            path.name, f"is not an image that can be read here, or it is damaged ({error})"
        ) from error


def _check(path: Path, kind: str, sizes: list[tuple[int, int]]) -> None:
    limit = MAX_JPEG2000_PIXELS if kind == "JPEG2000" else MAX_UNTILED_PIXELS
    for width, height in sizes:
        if not width or not height:
            raise UnreadableSlideError(path.name, "is damaged: it has no size; copy it again")
        if width * height > limit or max(width, height) > MAX_SIDE:
            raise UnreadableSlideError(
                path.name,
                f"has {width:,} x {height:,} pixels without tiles, which must be decoded in one "
                f"piece; {TILED_COPY}",
            )


def _bands(picture: Image.Image) -> Iterator[Rgb]:
    picture.load()
    width, height = picture.size
    by = _full_scale(picture)
    for top in range(0, height, BAND_ROWS):
        band = picture.crop((0, top, width, min(height, top + BAND_ROWS)))
        if by:
            # As large_image's source of pictures does.
            grey = np.nan_to_num(np.asarray(band, np.float64)) * (255 / by)
            yield to_rgb(grey.clip(0, 255).astype(np.uint8))
        else:
            yield to_rgb(_imageToNumpy(band)[0])


def _full_scale(picture: Image.Image) -> float:
    """The sample of full brightness where samples are no bytes: that of 8, 16, 24 or 32 bits."""
    if picture.mode.split(";")[0] not in NUMBERS:
        return 0.0
    most = float(np.nan_to_num(np.asarray(picture)).max())
    return float(max(1, 256 ** math.ceil(math.log(max(most, 0) + 1, 256)) - 1))
