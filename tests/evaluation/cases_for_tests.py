"""Slides with shapes on both sides, made ready to be judged."""

from __future__ import annotations

from pathlib import Path

import shapely

from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.evaluation.cases import Reader
from deeplab.evaluation.sides import Sides
from deeplab.evaluation.sources import Pair
from deeplab.geometry.frames import Mpp

HALF = Mpp.square(0.5)


def side(mpp=HALF, **layers):
    """Annotations with these polygons by layer."""
    return Annotations(
        tuple(
            Layer(name, (0, 0, 0), tuple(Shape(polygon) for polygon in polygons))
            for name, polygons in layers.items()
        ),
        mpp=mpp,
    )


def sized(annotations, width, height):
    """The annotations as those of a label mask, which knows how large the slide is."""
    attributes = {"width_level0": width, "height_level0": height}
    return Annotations(annotations.layers, attributes, annotations.mpp, annotations.remarks)


def square(x, y, width, height=None):
    return shapely.box(x, y, x + width, y + (height or width))


def request(**settings):
    settings = {"reference": "here", "output_annotation": Path("e.anot"), **settings}
    return EvaluateRequest(**settings)


def read(reference, prediction, reader=None, **settings):
    """A slide made ready by a reader, which may have read others before."""
    reader = reader or Reader(request(**settings), None)
    sides = Sides(reference=reference, prediction=prediction)
    return reader.read(Pair(name="a slide", slide="", item="", load=lambda _: sides))[0]
