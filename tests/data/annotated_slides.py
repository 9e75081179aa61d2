"""Annotated slides painted in code."""

import numpy as np
import shapely

from deeplab.annotations.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.data.truth import AnnotatedSlide
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.tissue import TissueMask

GLASS, TISSUE, OBJECT = 240, 180, 60


def annotated(boxes, *, side=600, mpp=0.5, name="slide"):
    """A grey slide with dark squares; `boxes` are (label, x, y, side) in level-0 pixels."""
    rgb = np.full((side, side, 3), TISSUE, np.uint8)
    shapes = {}
    for label, x, y, size in boxes:
        rgb[y : y + size, x : x + size] = OBJECT
        shapes.setdefault(label, []).append(shapely.box(x, y, x + size, y + size))
    layers = tuple(
        Layer(f"class {label}", (0, 0, 0), tuple(Shape(p) for p in found))
        for label, found in sorted(shapes.items())
    )
    slide = ArraySlide(rgb, Mpp.square(mpp), name)
    frame = slide.frame(mpp * 8)
    annotations = Annotations(layers)
    return AnnotatedSlide(
        name=name,
        slide=slide,
        annotations=annotations,
        drawn=annotations.names,
        index=ShapeIndex(annotations, {f"class {label}": label for label in sorted(shapes)}),
        shapes={label: tuple(found) for label, found in shapes.items()},
        tissue=TissueMask(np.ones((frame.height, frame.width), np.bool_), frame),
    )
