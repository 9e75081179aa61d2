"""Samples of TIFF pages as RGB bytes, whatever they stand for, or the reason why they cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, SAMPLEFORMAT

from deeplab.errors import UnreadableSlideError
from deeplab.slides.colours import channels_to_rgb, kind_of, to_rgb

Rgb = NDArray[np.uint8]  # (height, width, 3)

UPRIGHT = 1  # TIFF's orientation of a picture that is not turned
# Those that large_image turns as TIFF says; 6 and 8 it turns the other way.
TURNED_RIGHT = (2, 3, 4, 5, 7)
PLAIN_REFERENCE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)  # of YCbCr, where a file names none
CMYK_INKS = 1
REWRITE = "write it anew as 8-bit RGB, as QuPath's export to OME-TIFF does"
SLACK = 1e-3  # of the range of fractions, that sharpening and resampling overshoot
JPEGS = (COMPRESSION.OJPEG, COMPRESSION.JPEG)
# What large_image's tiff source decodes at least as well as tifffile, and faster.
PLAIN_CODECS = (
    *(COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.JPEG, COMPRESSION.ADOBE_DEFLATE),
    *(COMPRESSION.DEFLATE, COMPRESSION.PACKBITS),
    *(COMPRESSION.APERIO_JP2000_YCBC, COMPRESSION.APERIO_JP2000_RGB),
)
READABLE: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
}  # and the least number of samples of each
SPACES: dict[int, str] = {
    PHOTOMETRIC.MASK: "is a transparency mask",
    PHOTOMETRIC.CIELAB: "has colours in CIELAB",
    PHOTOMETRIC.ICCLAB: "has colours in ICCLAB",
    PHOTOMETRIC.ITULAB: "has colours in ITULAB",
    PHOTOMETRIC.CFA: "holds a camera's raw pixels",
    PHOTOMETRIC.LINEAR_RAW: "holds a camera's raw pixels",
    PHOTOMETRIC.LOGL: "has colours in LogL",
    PHOTOMETRIC.LOGLUV: "has colours in LogLuv",
}


def is_plain(page: tifffile.TiffPage) -> bool:
    """Tell whether a page is tiles of RGB or grey bytes, which all readers take alike."""
    grey_or_rgb = (page.photometric, page.samplesperpixel) in (
        (PHOTOMETRIC.RGB, 3),
        (PHOTOMETRIC.MINISBLACK, 1),
        (PHOTOMETRIC.YCBCR, 3),
    )
    return (
        grey_or_rgb
        and (page.photometric != PHOTOMETRIC.YCBCR or page.compression == COMPRESSION.JPEG)
        and page.is_tiled
        and page.bitspersample == 8
        and page.sampleformat == SAMPLEFORMAT.UINT
        and page.planarconfig == 1
        and page.compression in PLAIN_CODECS
    )


def raise_unless_readable(name: str, page: tifffile.TiffPage) -> None:
    """Refuse a page whose colours cannot be told from its samples, or that no codec here decodes.

    Raises:
        UnreadableSlideError: with the name of what the page is and a way out.
    """
    raise_unless_decodable(name, page)
    least = READABLE.get(page.photometric)
    if least is None:
        what = SPACES.get(page.photometric, f"has colours of TIFF's kind {page.photometric:d}")
        raise UnreadableSlideError(name, f"{what}, which is not read here; {REWRITE}")
    if page.samplesperpixel < least:
        raise UnreadableSlideError(
            name,
            f"states colours of kind {PHOTOMETRIC(page.photometric).name}, but has "
            f"{page.samplesperpixel} samples for a pixel; {REWRITE}",
        )
    if page.sampleformat not in (SAMPLEFORMAT.UINT, SAMPLEFORMAT.INT, SAMPLEFORMAT.IEEEFP):
        raise UnreadableSlideError(name, f"has complex numbers for pixels; {REWRITE}")
    if page.sampleformat == SAMPLEFORMAT.INT and page.bitspersample == 8:
        raise UnreadableSlideError(name, f"has pixels of signed bytes; {REWRITE}")
    if page.dtype is None:
        raise UnreadableSlideError(
            name, f"has pixels of {page.bitspersample} bits, which are not read here; {REWRITE}"
        )
    _raise_unless_colours(name, page)


def raise_unless_decodable(name: str, page: tifffile.TiffPage) -> None:
    """Refuse a page that is compressed in a way that no decoder here undoes.

    Raises:
        UnreadableSlideError: with the name of the codec and a way out.
    """
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except (KeyError, NotImplementedError, AttributeError) as error:
        raise UnreadableSlideError(name, undecodable(page)) from error


def undecodable(page: tifffile.TiffPage) -> str:
    """Return the end of a sentence about a file whose codec is not read here."""
    number = int(page.compression)
    try:
        codec = f"{COMPRESSION(number).name} (TIFF compression {number})"
    except ValueError:
        codec = f"a codec that is not known here (TIFF compression {number})"
    return (
        f"is compressed by {codec}, which cannot be read here; write it anew with JPEG, LZW or "
        "Deflate, as 'vips tiffsave' and QuPath's export to OME-TIFF do"
    )


def _raise_unless_colours(name: str, page: tifffile.TiffPage) -> None:
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is None:
        raise UnreadableSlideError(name, f"has colours of a palette that is missing; {REWRITE}")
    if page.photometric == PHOTOMETRIC.SEPARATED and (
        page.bitspersample != 8 or page.tags.valueof(332, default=CMYK_INKS) != CMYK_INKS
    ):
        raise UnreadableSlideError(
            name, f"has inks for colours that are not CMYK bytes, which are not read; {REWRITE}"
        )
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression not in JPEGS:
        stated = page.tags.valueof(532, default=())
        reference = tuple(a / b for a, b in zip(stated[::2], stated[1::2], strict=True) if b)
        whole = page.subsampling in (None, (1, 1)) and reference in ((), PLAIN_REFERENCE)
        if not whole or page.bitspersample != 8:
            raise UnreadableSlideError(
                name,
                "has YCbCr colours that are thinned out or of a special range, and are not JPEG; "
                + REWRITE,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelKind:
    """What samples of a page stand for.

    Attributes:
        photometric: TIFF's kind of colours.
        compression: TIFF's number of the codec.
        top: the sample of full brightness; 0: that of the samples' type.
        alpha: the last sample is how opaque a pixel is: "straight", or the colours are
            already darkened by it, "premultiplied"; else empty.
        palette: uint16 (3, entries), where samples are places in it.
    """

    photometric: int
    compression: int
    top: float
    alpha: str = ""
    palette: NDArray[np.uint16] | None = None

    @classmethod
    def of(cls, page: tifffile.TiffPage, *, planes: int, top: float) -> PixelKind:
        """Return the kind of a page's samples; of several `planes` none is alpha."""
        extra = [int(each) for each in page.extrasamples]
        alpha = {1: "premultiplied", 2: "straight"}.get(extra[0], "") if len(extra) == 1 else ""
        colours = page.samplesperpixel - len(extra)
        return cls(
            photometric=page.photometric,
            compression=int(page.compression),
            top=top,
            alpha=alpha if planes == 1 and colours in (1, 3) else "",
            palette=page.colormap if page.photometric == PHOTOMETRIC.PALETTE else None,
        )

    def rgb(self, samples: NDArray[Any]) -> Rgb:
        """Return samples (height, width, bands) as RGB bytes (height, width, 3)."""
        if self.palette is not None:
            places = np.minimum(samples[:, :, 0], self.palette.shape[1] - 1)
            # Bytes stand for the upper half of TIFF's 16 bits; some writers forget to shift them.
            by = 8 if self.palette.max() > 255 else 0
            return np.ascontiguousarray(
                (self.palette[:, places] >> by).transpose(1, 2, 0), np.uint8
            )
        if self.photometric == PHOTOMETRIC.SEPARATED:
            return _converted(samples[:, :, :4], "CMYK")
        if self.photometric == PHOTOMETRIC.YCBCR and self.compression not in JPEGS:
            return _converted(samples[:, :, :3], "YCbCr")
        if self.alpha == "straight":
            return self._upright(to_rgb(samples, top=self.top))
        if self.alpha == "premultiplied":
            colour = self._upright(channels_to_rgb(samples[:, :, :-1], top=self.top))
            clear = 255 - to_rgb(samples[:, :, -1], top=self.top)
            return np.asarray(np.minimum(colour.astype(np.uint16) + clear, 255), np.uint8)
        return self._upright(channels_to_rgb(samples, top=self.top))

    def _upright(self, rgb: Rgb) -> Rgb:
        return 255 - rgb if self.photometric == PHOTOMETRIC.MINISWHITE else rgb

    def words(self, bands: int, dtype: np.dtype[Any]) -> str:
        """Return what the pixels are, for a person; "" for RGB bytes."""
        if self.palette is not None:
            return "palette"
        names: dict[int, str] = {
            PHOTOMETRIC.SEPARATED: "CMYK",
            PHOTOMETRIC.MINISWHITE: "grey, white is 0",
        }
        return names.get(self.photometric) or kind_of(bands - bool(self.alpha), dtype)


def _converted(samples: NDArray[Any], mode: str) -> Rgb:
    height, width, _ = samples.shape
    picture = Image.frombytes(mode, (width, height), np.ascontiguousarray(samples).tobytes())
    return np.asarray(picture.convert("RGB"))


def raise_unless_in_range(name: str, samples: NDArray[Any], top: float) -> None:
    """Refuse samples below 0 or above `top`, which would come out black or white.

    Raises:
        UnreadableSlideError: there are some.
    """
    if samples.dtype.kind not in "iuf" or samples.dtype.itemsize == 1 or not samples.size:
        return
    if not np.isfinite(samples).all():
        raise UnreadableSlideError(name, f"has pixels that are no numbers; {REWRITE}")
    least, most = float(samples.min()), float(samples.max())
    if least < -SLACK * top or most > (1 + SLACK) * top:
        raise UnreadableSlideError(
            name,
            f"has pixels of {samples.dtype} from {least:.6g} to {most:.6g}, which tell neither "
            f"black nor white (0 to {top:.6g} was seen elsewhere on it); {REWRITE}",
        )
