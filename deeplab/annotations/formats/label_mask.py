"""Label masks: PNG pictures whose pixel values are labels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from deeplab.annotations.formats.gather import check_is_file
from deeplab.annotations.formats.mask_values import ValueReader, ValuesOf
from deeplab.annotations.raster.rasterize import Labels
from deeplab.annotations.trace.outlines import TILE
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.label_map import LabelTable

MAX_BYTES = 1 << 30  # of the pixels, which are decoded as a whole
BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "LA": 4, "RGB": 4, "RGBA": 4}
STEPS_OF_DEPTH = {2: 85, 4: 17}  # by which grey of fewer bits is spread over a byte
DEPTH_AT = 24  # in the file: of IHDR, which is the first
DESCRIPTION = "Description"  # the text's name in a PNG
UM_PER_INCH = 25400.0


@dataclass(frozen=True, slots=True)
class PngMask:
    """A PNG whose head was read, and how its pixels are labels.

    Attributes:
        path: of the file.
        size: its pixels.
        description: its text of that name.
        mpp: um per pixel, where it says them.
        bits: of a value.
    """

    path: Path
    size: WorkBox
    description: str
    mpp: Mpp | None
    bits: int
    _image: Image.Image
    _step: int  # between one grey value and the next
    _values_of: ValuesOf | None = None

    def pieces(self) -> Iterator[tuple[WorkBox, NDArray[Any]]]:
        """Boxes in reading order, and the values of each, (height, width); labels are uint8.

        Raises:
            AnnotationError: the picture is damaged, or coloured, or a value is no label.
        """
        read = self._values_of or ValueReader()
        with _sentences(self.path):
            self._image.load()
        for y in range(0, self.size.height, TILE):
            for x in range(0, self.size.width, TILE):
                box = WorkBox(x, y, TILE, TILE).intersection(self.size)
                values = np.asarray(self._image.crop((box.x, box.y, box.right, box.bottom)))
                if self._step > 1:
                    values = values // self._step
                yield box, read(values.reshape(box.height, box.width, -1), self.path)


@contextmanager
def open_png_mask(path: Path, values_of: ValuesOf | None = None) -> Iterator[PngMask]:
    """The mask in a PNG: values of one channel, of equal channels, or the indices of a palette.

    Nothing is decoded until the pieces are asked for.

    Args:
        path: the file.
        values_of: (height, width) of pixels (height, width, channels) as they are in it; without
            it their values are the labels.

    Raises:
        AnnotationError: it is not such a picture, or has more pixels than are decoded.
    """
    check_is_file(path)
    with ExitStack() as stack:
        with _sentences(path):
            # Opened as PNG and nothing else: a picture of another format is never decoded.
            file = stack.enter_context(path.open("rb"))
            depth = int.from_bytes(file.read(DEPTH_AT + 1)[DEPTH_AT:])
            file.seek(0)
            image = stack.enter_context(PngImagePlugin.PngImageFile(file))
        _check(image, depth, path)
        yield PngMask(
            path,
            WorkBox(0, 0, *image.size),
            str(image.info.get(DESCRIPTION, "")),
            _mpp(image.info.get("dpi")),
            depth,
            image,
            STEPS_OF_DEPTH.get(depth, 1) if image.mode == "L" else 1,
            values_of,
        )


def _check(image: Image.Image, depth: int, path: Path) -> None:
    width, height = image.size
    if image.mode not in BYTES_OF_MODE or (depth > 8 and image.mode != "I;16"):
        raise AnnotationError(
            path,
            f"is a picture of kind {image.mode} with {depth} bits a channel, not a mask with one"
            " value a pixel; save it in grey",
        )
    most = MAX_BYTES // BYTES_OF_MODE[image.mode]
    if width * height > most:
        raise AnnotationError(
            path,
            f"has {width} x {height} pixels; a PNG of this kind may have {most}: save it as a TIFF"
            " in tiles",
        )


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError, OverflowError, struct.error, zlib.error) as error:
        raise AnnotationError(path, f"is not a PNG picture that can be read: {error}") from error


def write_png_mask(path: Path, labels: Labels, table: LabelTable, mpp: Mpp | None) -> None:
    """Writes labels as a PNG that says what its values stand for.

    Args:
        path: where to.
        labels: uint8 (height, width).
        table: goes into the text `Description`, its colours into the palette.
        mpp: um per pixel of the mask, where it is known.

    Raises:
        OutputError: the file cannot be written.
    """
    image = Image.fromarray(labels)
    image.putpalette(table.palette().tobytes())
    text = PngImagePlugin.PngInfo()
    text.add_text(DESCRIPTION, table.text())
    more = {"dpi": (UM_PER_INCH / mpp.x, UM_PER_INCH / mpp.y)} if mpp else {}
    with whole_file(path) as part:
        image.save(part, format="PNG", pnginfo=text, **more)


def _mpp(per_inch: object) -> Mpp | None:
    if not isinstance(per_inch, tuple) or not all(per_inch):
        return None
    try:
        return Mpp(*(UM_PER_INCH / each for each in per_inch))
    except ConfigError:
        return None
