"""Label masks: PNG pictures whose pixel values are labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from deeplab.annotations.format import IGNORE_LAYER
from deeplab.annotations.rasterize import Labels
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace import trace
from deeplab.config.classes import IGNORE, PALETTE, ClassList
from deeplab.errors import AnnotationError, ConfigError
from deeplab.files import whole_file
from deeplab.geometry.frames import Mpp
from deeplab.label_map import LabelTable

MAX_PIXELS = 1 << 30
DESCRIPTION = "Description"  # the text's name in a PNG
UM_PER_INCH = 25400.0


def read_label_mask(path: Path) -> Labels:
    """The values of a PNG of one channel or with a palette (its indices), uint8 (height, width).

    Raises:
        AnnotationError: it is not such a picture, is damaged, or has more than a gigapixel.
    """
    return read_png_mask(path)[0]


def read_png_mask(path: Path) -> tuple[Labels, str, Mpp | None]:
    """The values of a PNG as `read_label_mask` has them, its description, and its um per pixel.

    Raises:
        AnnotationError: as `read_label_mask`.
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


def write_label_mask(path: Path, labels: Labels, classes: ClassList | None = None) -> None:
    """Writes labels as a PNG with the classes' colours; the pixel values are the labels.

    Args:
        path: where to.
        labels: uint8 (height, width), 255 for what is not to be looked at.
        classes: whose colours to take; the standard ones without.

    Raises:
        OutputError: the file cannot be written.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[1:255] = [PALETTE[i % len(PALETTE)] for i in range(254)]
    colours[IGNORE] = 128
    for label, slide_class in enumerate(classes or (), start=1):
        colours[label] = slide_class.colour
    image = Image.fromarray(np.ascontiguousarray(labels))
    image.putpalette(colours.tobytes())  # makes it a picture of kind P
    with whole_file(path) as part:
        image.save(part, format="PNG")


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


def annotations_of_mask(
    labels: Labels, names: Sequence[str] = (), ignore: str = IGNORE_LAYER
) -> Annotations:
    """The objects of a mask, whose pixels are level-0 pixels.

    A mask judges every pixel, so each of `names` has a layer, which may be empty. `attributes` of
    the result holds `width_level0` and `height_level0`.

    Args:
        labels: uint8 (height, width); 0 is background, 255 the layer `ignore`.
        names: of the values 1, 2, ...; "class 1" and so on without.
        ignore: what the layer of 255 is called.
    """
    found: dict[int, list[Shape]] = {label: [] for label in range(1, len(names) + 1)}
    for traced in trace(labels):
        found.setdefault(traced.label, []).append(Shape(traced.polygon))
    layers = []
    for label, shapes in sorted(found.items()):
        name = names[label - 1] if label <= len(names) else f"class {label}"
        colour = PALETTE[(label - 1) % len(PALETTE)]
        if label == IGNORE and label > len(names):
            name, colour = ignore, (128, 128, 128)
        layers.append(Layer(name, colour, tuple(shapes)))
    height, width = labels.shape
    return Annotations(tuple(layers), {"width_level0": width, "height_level0": height})
