"""A slide together with what was drawn on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.rasterize import ShapeIndex
from deeplab.annotations.shapes import Annotations
from deeplab.config.classes import IGNORE, ClassList, SlideClass
from deeplab.data.samples import Sample
from deeplab.errors import TrainingError
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import Slide, open_slide
from deeplab.slides.tissue import TissueMask, tissue_mask


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedSlide:
    """Pixels and labels of one slide; `drawn` names all its layers, learnt from or not."""

    name: str
    slide: Slide
    annotations: Annotations
    drawn: tuple[str, ...]
    index: ShapeIndex
    shapes: Mapping[int, tuple[shapely.Polygon, ...]]
    tissue: TissueMask

    def shapes_of(self, label: int) -> tuple[shapely.Polygon, ...]:
        """All shapes of a class, level-0 pixels."""
        return self.shapes.get(label, ())

    def read(self, frame: WorkFrame, box: WorkBox) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """RGB (height, width, 3) and labels (height, width); beyond the slide labels are IGNORE."""
        return self.slide.read(frame, box), self.labels(frame, box)

    def labels(self, frame: WorkFrame, box: WorkBox) -> NDArray[np.uint8]:
        """What was drawn in a box of work pixels, (height, width); IGNORE beyond the slide."""
        labels = np.full((box.height, box.width), IGNORE, np.uint8)
        on_slide = box.intersection(frame.box)
        if not on_slide.is_empty:
            labels[on_slide.within(box)] = self.index.draw(on_slide, frame)
        return labels

    def extent(self) -> Level0Box:
        """The part of the slide that holds all its shapes; the whole slide where there is none."""
        polygons = [polygon for some in self.shapes.values() for polygon in some]
        if not polygons:
            return Level0Box(0, 0, self.slide.width_level0, self.slide.height_level0)
        left, top, right, bottom = shapely.total_bounds(polygons)
        return Level0Box(left, top, max(right - left, 1), max(bottom - top, 1))

    def tissue_point(self, random: np.random.Generator) -> tuple[float, float]:
        """A random point on tissue, (x, y) in level-0 pixels; anywhere where there is none."""
        cells = np.flatnonzero(self.tissue.mask)
        cell = (
            int(random.choice(cells)) if cells.size else int(random.integers(self.tissue.mask.size))
        )
        row, col = divmod(cell, self.tissue.mask.shape[1])
        frame = self.tissue.frame
        return (col + random.random()) * frame.scale_x, (row + random.random()) * frame.scale_y


def open_annotated(
    sample: Sample,
    classes: Sequence[str],
    *,
    ignore_class: str,
    slide_mpp: float,
    login: ServerLogin | None,
) -> AnnotatedSlide:
    """Open a slide and draw its annotations where they are asked for.

    Layers whose names are no class are left out; the layer `ignore_class` is drawn over all others.

    Raises:
        SlideError, AnnotationError, ServerError: as reading them does.
    """
    labels = {name: label for label, name in enumerate(classes, start=1)} | {ignore_class: IGNORE}
    everything = sample.load()
    annotations = Annotations(tuple(x for x in everything.layers if x.name in labels))
    shapes = {
        labels[name]: tuple(shape.polygon for shape in annotations.layer(name).shapes)
        for name in annotations.names
    }
    slide = open_slide(sample.slide, mpp=sample.mpp or slide_mpp or None, server=login)
    return AnnotatedSlide(
        name=sample.name,
        slide=slide,
        annotations=annotations,
        drawn=everything.names,
        index=ShapeIndex(annotations, labels),
        shapes=shapes,
        tissue=tissue_mask(slide),
    )


def classes_of(names: Sequence[str], slides: Sequence[AnnotatedSlide]) -> ClassList:
    """The classes of these names in the colours that the slides' annotations give them.

    Raises:
        TrainingError: a name is on no slide.
    """
    found = {layer.name: layer.colour for slide in slides for layer in slide.annotations.layers}
    missing = [name for name in names if name not in found]
    if missing:
        drawn = sorted({name for slide in slides for name in slide.drawn})
        near = get_close_matches(missing[0], drawn, 1)
        raise TrainingError(
            f"no slide to learn from has a shape of {', '.join(missing)}"
            + (f"; did you mean {near[0]}?" if near else "")
            + f" (there are: {', '.join(drawn) or 'none'})"
        )
    return ClassList(tuple(SlideClass(name, found[name]) for name in names))
