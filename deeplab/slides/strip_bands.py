"""TIFFs in strips, as bands of RGB rows: libtiff decodes row after row, however long a strip is."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from libtiff import libtiff_ctypes
from tifffile import COMPRESSION, PHOTOMETRIC, SAMPLEFORMAT

from deeplab.errors import UnreadableSlideError
from deeplab.slides.colours import to_rgb
from deeplab.slides.limits import MAX_STRIP_BYTES, TILED_COPY
from deeplab.slides.pyramid import Rgb
from deeplab.slides.sources import READ
from deeplab.slides.untiled import BAND_ROWS, UntiledTiles

CODECS = (
    *(COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.JPEG, COMPRESSION.ADOBE_DEFLATE),
    *(COMPRESSION.DEFLATE, COMPRESSION.PACKBITS, COMPRESSION.ZSTD),
)
SAMPLES: dict[int, int] = {PHOTOMETRIC.RGB: 3, PHOTOMETRIC.MINISBLACK: 1, PHOTOMETRIC.YCBCR: 3}
JPEG_COLOUR_MODE, AS_RGB = 65538, 1  # libtiff's own tag: JPEGs are given out as RGB
ORIENTATION, UPRIGHT = 274, 1


def is_in_plain_strips(page: tifffile.TiffPage) -> bool:
    """Tell whether a page is strips of grey or RGB bytes, as libtiff decodes them to the letter."""
    return (
        not page.is_tiled
        and SAMPLES.get(page.photometric) == page.samplesperpixel
        and (page.photometric != PHOTOMETRIC.YCBCR or page.compression == COMPRESSION.JPEG)
        and page.bitspersample == 8
        and page.sampleformat == SAMPLEFORMAT.UINT
        and page.planarconfig == 1
        and page.compression in CODECS
        and page.tags.valueof(ORIENTATION, default=UPRIGHT) == UPRIGHT
    )


def raise_if_in_one_piece(name: str, page: tifffile.TiffPage) -> None:
    """Refuse a page of which too much is decoded at once for each part of it that is read.

    Raises:
        UnreadableSlideError: it is.
    """
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    width = page.tilewidth if page.is_tiled else page.imagewidth
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    if rows * width * samples * page.bitspersample // 8 > MAX_STRIP_BYTES:
        raise UnreadableSlideError(
            name,
            f"has {page.imagewidth:,} x {page.imagelength:,} pixels without tiles, which must be "
            f"decoded in one piece; {TILED_COPY}",
        )


def open_strips(path: Path, page: tifffile.TiffPage) -> UntiledTiles:
    """Return the tiles of a page in plain strips.

    Raises:
        UnreadableSlideError: it is damaged, or there is no scratch space for it.
    """
    return UntiledTiles(
        *(path, page.imagewidth, page.imagelength, _bands(path, page)), description="libtiff strips"
    )


def _bands(path: Path, page: tifffile.TiffPage) -> Iterator[Rgb]:
    tiff = libtiff_ctypes.TIFF.open(path, READ)
    library = libtiff_ctypes.libtiff
    try:
        if not library.TIFFSetSubDirectory(tiff, ctypes.c_uint64(page.offset)):
            raise UnreadableSlideError(path.name, "is damaged; copy it again")
        if page.photometric == PHOTOMETRIC.YCBCR:
            library.TIFFSetField(tiff, ctypes.c_uint32(JPEG_COLOUR_MODE), ctypes.c_int(AS_RGB))
        shape = (page.imagewidth, page.samplesperpixel)
        size = int(library.TIFFScanlineSize(tiff).value)
        if size != shape[0] * shape[1]:
            raise UnreadableSlideError(path.name, f"is damaged: its rows have {size:,} bytes")
        for top in range(0, page.imagelength, BAND_ROWS):
            band = np.empty((min(BAND_ROWS, page.imagelength - top), *shape), np.uint8)
            for number, row in enumerate(band, top):
                place = libtiff_ctypes.c_tdata_t(row.ctypes.data)
                if library.TIFFReadScanline(tiff, place, ctypes.c_uint32(number), 0) != 1:
                    raise UnreadableSlideError(
                        path.name,
                        f"cannot be read at pixel (0, {number}): the file is cut short or damaged; "
                        "copy it again",
                    )
            yield to_rgb(band)
    finally:
        tiff.close()
