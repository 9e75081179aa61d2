"""Label masks: PNG pictures whose pixel values are labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from deeplab.annotations.rasterize import Labels
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp
from deeplab.label_map import LabelTable

MAX_PIXELS = 1 << 30
DESCRIPTION = "Description"  # the text's name in a PNG
UM_PER_INCH = 25400.0


def read_png_mask(path: Path) -> tuple[Labels, str, Mpp | None]:
    """The values of a PNG, its description, and its um per pixel.

    The values are those of one channel, or the indices of a palette; uint8 (height, width).

    Raises:
        AnnotationError: it is not such a picture, is damaged, or has more than a gigapixel.
    """
    try:
        # Opened as PNG and nothing else: a picture of another format is never decoded.
        with path.open("rb") as file, PngImagePlugin.PngImageFile(file) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise AnnotationError(
                    path, f"has {width} x {height} pixels; masks may have {MAX_PIXELS}"
                )
            if image.mode not in ("1", "L", "P"):
                raise AnnotationError(
                    path, f"is a picture of kind {image.mode}, not a mask with one value a pixel"
                )
            description = str(image.info.get(DESCRIPTION, ""))
            return np.array(image).astype(np.uint8), description, _mpp(image.info.get("dpi"))
    except FileNotFoundError as error:
        raise AnnotationError(path, "there is no such file") from error
    except (OSError, SyntaxError, ValueError) as error:
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
