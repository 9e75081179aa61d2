"""Slides of lymph nodes with what is drawn on them: found in a folder, and measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.files import opened, read_annotations
from deeplab.annotations.formats.format import Reading
from deeplab.annotations.formats.girder_json import read_girder_json, read_heatmap_points
from deeplab.annotations.formats.table import format_of
from deeplab.annotations.shapes import Annotations, Shape
from deeplab.errors import AnnotationError, ScaleError, SourceError
from deeplab.evaluation.cases import SAME_SCALE
from deeplab.evaluation.files_of_side import FilesOfSide, absent_slides
from deeplab.evaluation.lesions import Lesion, find_lesions
from deeplab.evaluation.sources import slides_at_hand
from deeplab.exchange.beside import SLIDES, split_name
from deeplab.exchange.labelling import folded
from deeplab.geometry.frames import Mpp
from deeplab.names import shown_name
from deeplab.slides.slide import measure_extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Metastases:
    """What layers are metastases, and how they are measured.

    Attributes:
        classes: names of the layers.
        slide_mpp: um per level-0 pixel that goes before what is stated; 0: none.
        merge_um: outlines that are nearer to one another are one lesion.
    """

    classes: tuple[str, ...]
    slide_mpp: float
    merge_um: float

    def shapes_in(self, annotations: Annotations, source: str) -> tuple[Shape, ...]:
        """Return the shapes of the layers of metastases.

        Raises:
            AnnotationError: there are layers, and none of these names.
        """
        names = {folded(name) for name in self.classes}
        layers = [layer for layer in annotations.layers if folded(layer.name) in names]
        if annotations.layers and not layers:
            told = ", ".join(annotations.names)
            raise AnnotationError(
                source, f"there is no layer of metastases; name them as classes (there are: {told})"
            )
        return tuple(shape for layer in layers for shape in layer.shapes)


@dataclass(frozen=True, slots=True)
class NodeSlide:
    """One slide with the file of what is drawn on it; the slide is None where it is not at hand."""

    name: str
    annotation: Path
    slide: Path | None

    def read(self, metastases: Metastases) -> Annotations:
        """Return what is drawn.

        Raises:
            AnnotationError: the file is not what it claims to be.
        """
        name = self.slide.name if self.slide else self.name
        reading = Reading(classes=metastases.classes[:1], slide=name, slide_file=self.slide)
        return read_annotations(self.annotation, reading)

    def heatmap_points(self, metastases: Metastases) -> NDArray[np.float64] | None:
        """Return x, y and probability of the points of heatmaps of metastases (n, 3).

        x and y are level-0 pixels. None: there is no such heatmap, but maybe shapes.

        Raises:
            AnnotationError: the file is not what it claims to be.
        """
        names = {folded(name) for name in metastases.classes}
        with opened(self.annotation, self.slide.name if self.slide else self.name) as file:
            if format_of(file).read is not read_girder_json:
                return None
            found = [p for name, p in read_heatmap_points(file).items() if folded(name) in names]
        return np.concatenate(found) if found else None

    def scale(self, annotations: Annotations, slide_mpp: float) -> Mpp:
        """Return the um per level-0 pixel: that given, else the slide's, else that of the file.

        Raises:
            ScaleError: nothing states it, or slide and file differ.
            SlideError: the slide cannot be opened.
            AnnotationError: all that is drawn lies beyond the slide.
        """
        stated = Mpp.square(slide_mpp) if slide_mpp else annotations.mpp
        if self.slide:
            stated = self._scale_of_slide(annotations, stated, is_given=bool(slide_mpp))
        if stated is None:
            raise ScaleError(
                self.name,
                "does not state its um per pixel, nor does what is drawn; give slide_mpp, or the"
                " folder of the slides",
            )
        return stated

    def _scale_of_slide(
        self, annotations: Annotations, stated: Mpp | None, *, is_given: bool
    ) -> Mpp | None:
        slide = measure_extent(str(self.slide))
        _check_on_slide(self.name, annotations, slide.width_level0, slide.height_level0)
        if is_given or slide.mpp is None:
            return stated
        if stated and abs(stated.mean / slide.mpp.mean - 1) > SAME_SCALE:
            raise ScaleError(
                self.name,
                f"has {slide.mpp.mean:.4g} um per pixel and its annotations state"
                f" {stated.mean:.4g}; give the right ones as slide_mpp",
            )
        return slide.mpp

    @property
    def stem(self) -> str:
        """The name without the suffix of a slide."""
        stem, suffix = split_name(self.name)
        return stem if suffix in SLIDES else self.name

    def lesions(self, metastases: Metastases) -> tuple[Lesion, ...]:
        """Return the lesions on the slide, the largest first.

        Raises:
            AnnotationError, ScaleError, SlideError: as `read` and `scale` do.
        """
        return self.measure(self.read(metastases), metastases)

    def measure(self, annotations: Annotations, metastases: Metastases) -> tuple[Lesion, ...]:
        """Return the lesions of what was read, the largest first.

        Raises:
            AnnotationError, ScaleError, SlideError: as `scale` does, or no layer is asked for.
        """
        shapes = metastases.shapes_in(annotations, self.name)
        if not shapes:
            return ()
        mpp = self.scale(annotations, metastases.slide_mpp)
        return find_lesions((shape.polygon for shape in shapes), mpp, metastases.merge_um)


def find_node_slides(folder: Path, slide: str) -> list[NodeSlide]:
    """Return the slides that the files in a folder, or one file, are about, by name.

    Args:
        folder: of annotations or label masks.
        slide: a slide or a folder of such; "": those in `folder` count alone.

    Raises:
        SourceError: there is none, or it is not clear which slide a file is about.
    """
    if not folder.exists():
        raise SourceError(f"there is no file or folder {folder}")
    side = FilesOfSide.of(folder)
    slides = slides_at_hand(side, slide)
    side = side.without(slides.values())
    left_out: dict[str, str] = {}
    files = side.by_slide([*slides], absent_slides([side], slides), left_out)
    for name, why in left_out.items():
        raise SourceError(f"{name} {why}")
    if not files:
        raise SourceError(f"nothing in {folder} is called as a slide is")
    return [
        NodeSlide(shown_name(name), path, slides.get(name)) for name, path in sorted(files.items())
    ]


def files_of(slides: Iterable[NodeSlide]) -> Iterator[Path]:
    """Yield all files that are read of some slides."""
    for each in slides:
        yield each.annotation
        if each.slide:
            yield each.slide


def _check_on_slide(name: str, annotations: Annotations, width: int, height: int) -> None:
    bounds = [shape.polygon.bounds for layer in annotations.layers for shape in layer.shapes]
    if bounds and all(
        right <= 0 or bottom <= 0 or left >= width or top >= height
        for left, top, right, bottom in bounds
    ):
        raise AnnotationError(
            name, "all that is drawn lies beyond the slide; is it of another one?"
        )
