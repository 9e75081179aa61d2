"""What a collector found, cleaned and made into layers: one a class, and one of no class."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

from deeplab.annotations.formats.type_info import NO_TYPE, NO_TYPE_COLOUR
from deeplab.annotations.shapes import Layer, Property, Shape
from deeplab.annotations.store import Spilled
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.bundles.card import Card
from deeplab.config.classes import Rgb
from deeplab.config.requests import SegmentRequest
from deeplab.files import scratch_folder
from deeplab.geometry.frames import WorkFrame
from deeplab.postprocess.regions import area_um2, drop_small, fill_holes

MOST_IN_MEMORY = 10_000  # shapes of a layer, 3 kB each; more go to a file


def clean(
    found: Iterable[TracedShape], request: SegmentRequest, frame: WorkFrame
) -> Iterator[TracedShape]:
    """Drop the small and fill small holes, as `request` says.

    Args:
        found: what a collector gives.
        request: says the sizes, um.
        frame: in which it was found.
    """
    found = drop_small(found, request.min_area_um2, frame)
    return fill_holes(found, request.min_hole_um2, frame)


class MadeLayers(NamedTuple):
    """Layers, and how much each holds: `name`, `count` and `area_mm2`."""

    layers: tuple[Layer, ...]
    found: list[dict[str, str | int | float]]


def make_layers(
    found: Iterable[TracedShape], card: Card, frame: WorkFrame, remark: str = ""
) -> MadeLayers:
    """Return one layer a class, also for one of which nothing was found.

    Objects of no type follow in a layer of their own, if there are any. Each shape has its
    `area_um2`, and `confidence` and `type_prob` where they are known. Millions of shapes lie in a
    file, which is there as long as their layer is. The description of each layer ends with the
    card's notice, before it the `remark`, a sentence on this slide.
    """
    layers = [_GrowingLayer(entry.name, entry.colour) for entry in card.classes]
    untyped = _GrowingLayer(NO_TYPE, NO_TYPE_COLOUR)
    for traced in found:
        layer = layers[traced.label - 1] if traced.label else untyped
        layer.add(traced, round(area_um2(traced, frame), 2))
    if untyped.count:
        layers.append(untyped)
    to_know = " ".join(filter(None, (remark, card.notice)))
    return MadeLayers(
        tuple(layer.finish(to_know) for layer in layers), [layer.holds for layer in layers]
    )


class _GrowingLayer:
    """The shapes of one layer: in memory while they are few, then in a file."""

    def __init__(self, name: str, colour: Rgb) -> None:
        self._name, self._colour = name, colour
        self._few: list[Shape] = []
        self._many: Spilled[Shape] | None = None
        self._area_um2 = 0.0
        self.count = 0

    def add(self, traced: TracedShape, area: float) -> None:
        """Take a shape of so many um2."""
        self.count += 1
        self._area_um2 += area
        shape = Shape(traced.polygon, _properties(traced, area))
        if self._many is None and len(self._few) >= MOST_IN_MEMORY:
            self._many = _in_file(self._few)
            self._few = []
        if self._many is None:
            self._few.append(shape)
        else:
            self._many.append(shape)

    @property
    def holds(self) -> dict[str, str | int | float]:
        """How much it holds."""
        area_mm2 = round(self._area_um2 / 1e6, 6)
        return {"name": self._name, "count": self.count, "area_mm2": area_mm2}

    def finish(self, notice: str) -> Layer:
        """Return the layer; its description says how much it holds, and `notice`."""
        shapes: Collection[Shape] = tuple(self._few) if self._many is None else self._many.whole()
        said = f"{self.count} outlined, together {self._area_um2 / 1e6:.4g} mm2"
        return Layer(self._name, self._colour, shapes, f"{said}. {notice}" if notice else said)


def _properties(traced: TracedShape, area: float) -> Mapping[str, Property]:
    properties: dict[str, Property] = {"area_um2": area}
    if traced.confidence is not None:
        properties["confidence"] = round(traced.confidence, 4)
    if traced.label_probability is not None:
        properties["type_prob"] = round(traced.label_probability, 4)
    return properties


def _in_file(shapes: Iterable[Shape]) -> Spilled[Shape]:
    """Return a store on disk that holds `shapes`; its folder goes when it does."""
    stack = ExitStack()
    stored = Spilled[Shape](Shape, stack.enter_context(scratch_folder()))
    weakref.finalize(stored, stack.close)
    for shape in shapes:
        stored.append(shape)
    return stored
