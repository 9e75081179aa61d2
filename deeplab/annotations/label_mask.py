"""Label masks: PNG pictures whose pixel values are labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from deeplab.annotations.format import IGNORE_LAYER, Reading, Writing
from deeplab.annotations.rasterize import Labels, draw
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.trace import trace
from deeplab.config.classes import IGNORE, PALETTE, ClassList, SlideClass
from deeplab.errors import AnnotationError
from deeplab.files import whole_file
from deeplab.geometry.frames import WorkFrame

MAX_PIXELS = 1 << 30


def read_label_mask(path: Path) -> Labels:
    """The values of a PNG of one channel or with a palette (its indices), uint8 (height, width).

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
            return np.array(image).astype(np.uint8)
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


def read_mask(path: Path, reading: Reading = Reading()) -> Annotations:
    """The objects of a mask in a file; see `read_label_mask` and `annotations_of_mask`.

    Raises:
        AnnotationError: it is not a mask that can be read.
    """
    return annotations_of_mask(read_label_mask(path), reading.classes, reading.ignore)


def write_mask(path: Path, annotations: Annotations, writing: Writing = Writing()) -> None:
    """Writes the shapes as a PNG of the slide's level 0: the first layer as 1, the second as 2, ...

    Raises:
        AnnotationError: there are more layers than values, or more pixels than a mask may have.
        OutputError: the file cannot be written.
    """
    names = annotations.names
    if len(names) >= IGNORE:
        raise AnnotationError(path, f"{len(names)} layers are more than the 254 a mask can tell")
    width, height = writing.size_of(annotations)
    if width * height > MAX_PIXELS:
        raise AnnotationError(path, f"{width} x {height} pixels are more than a mask may have")
    frame = WorkFrame(1.0, 1.0, width, height, 1.0)
    values = {name: value for value, name in enumerate(names, start=1)}
    labels = draw(annotations, values, frame.box, frame)
    colours = tuple(SlideClass(name, annotations.layer(name).colour) for name in names)
    write_label_mask(path, labels, ClassList(colours) if colours else None)


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
