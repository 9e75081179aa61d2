"""A mask of either kind of picture, PNG or TIFF: its head, then its pixels piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deeplab.annotations.formats.gather import check_is_file
from deeplab.annotations.formats.label_mask import open_png_mask
from deeplab.annotations.formats.mask_tiff import open_mask_tiff
from deeplab.annotations.formats.mask_values import ValuesOf
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import Mpp, WorkBox

PNG = b"\x89PNG\r\n\x1a\n"
Pieces = Iterator[tuple[WorkBox, NDArray[Any]]]  # boxes in reading order, values (height, width)


@dataclass(frozen=True, slots=True)
class MaskPicture:
    """A picture whose head was read.

    Attributes:
        size: its pixels.
        description: what it says of itself.
        mpp: um per pixel, where it says them.
        bits: of a value.
        pieces: decodes the values; raises AnnotationError where they are damaged or none.
    """

    size: WorkBox
    description: str
    mpp: Mpp | None
    bits: int
    pieces: Callable[[], Pieces]


@contextmanager
def open_mask(path: Path, values_of: ValuesOf | None = None) -> Iterator[MaskPicture]:
    """Open a mask, whatever its suffix; nothing is decoded until the pieces are asked for.

    Args:
        path: a PNG by its first bytes, else a TIFF.
        values_of: (height, width) of pixels (height, width, channels); without it they are labels.

    Raises:
        AnnotationError: it is not such a picture, or has more pixels than are read.
    """
    if _begins_as_png(path):
        with open_png_mask(path, values_of) as png:
            yield MaskPicture(png.size, png.description, png.mpp, png.bits, png.pieces)
        return
    with open_mask_tiff(path, labels_of=values_of) as tiff:
        bits = 8 * tiff.page.dtype.itemsize if tiff.page.dtype else 0
        yield MaskPicture(tiff.size, tiff.description, tiff.mpp(), bits, tiff.pieces)


def _begins_as_png(path: Path) -> bool:
    check_is_file(path)
    try:
        with path.open("rb") as file:
            return file.read(len(PNG)) == PNG
    except OSError as error:
        raise AnnotationError(path, f"cannot be read: {error.strerror or error}") from error
