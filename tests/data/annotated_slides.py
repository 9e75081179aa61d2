"""Annotated slides painted in code."""

import numpy as np
import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.classes import IGNORE
from deeplab.data.truth import AnnotatedSlide
from deeplab.exchange.labelling import Labelling
from deeplab.exchange.samples import Sample
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.tissue import TissueMask

GLASS, TISSUE, OBJECT = 240, 180, 60


def annotated(boxes, *, side=600, mpp=0.5, name="slide"):
    """A grey slide with dark squares; `boxes` are (label, x, y, side) in level-0 pixels.

    The label n is "class n", 255 the layer "ignore".
    """
    rgb = np.full((side, side, 3), TISSUE, np.uint8)
    shapes = {}
    for label, x, y, size in boxes:
        rgb[y : y + size, x : x + size] = OBJECT
        layer = "ignore" if label == IGNORE else f"class {label}"
        shapes.setdefault(layer, []).append(shapely.box(x, y, x + size, y + size))
    highest = max((label for label, *_ in boxes if label != IGNORE), default=1)
    classes = tuple(f"class {n + 1}" for n in range(highest))
    return labelled(rgb, shapes, Labelling(classes=classes), mpp=mpp, name=name)


def labelled(rgb, shapes, rules, *, mpp=0.5, name="slide", tissue=None, slide=None):
    """A slide of `rgb` with polygons by layer name; tissue is everywhere, or a mask of 4 um cells."""
    slide = slide or ArraySlide(rgb, Mpp.square(mpp), name)
    layers = (Layer(k, (0, 0, 0), tuple(map(Shape, v))) for k, v in sorted(shapes.items()))
    frame = slide.frame(4.0)
    there = np.ones((frame.height, frame.width), np.bool_) if tissue is None else tissue
    return AnnotatedSlide.of(
        slide,
        Annotations(tuple(layers)),
        rules,
        sample=Sample(name=name, slide=name, load=lambda: Annotations(())),
        tissue=TissueMask(there, frame),
    )
