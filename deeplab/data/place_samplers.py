"""The ways of drawing places, as the settings name them; SURF's two beside our own.

The places of both depend on the seed and a patch's number only, go through what there is in
shuffled rounds, and are the middles of patches. Their origin is SURF-segmentation (SURF, ExaMode,
2020), whose samplers paired files by the nearest name, put noise where a read failed, took a point
for the patch's top left corner, and filled holes: none of that is here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.config.classes import IGNORE
from deeplab.config.train_request import PatchSettings
from deeplab.data.draws import PlaceSampler, SlidePlaces, point_in
from deeplab.data.mining import Place
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import ConfigError
from deeplab.slides.tissue import tissue_mask

FEWEST_POINTS = 10  # of a contour of tissue; those with fewer are specks, where there are others
ROUNDS_KEPT = 64  # shuffled orders that are remembered
EXACT = 1e-6  # a share of whole patches stays whole
TISSUE, TUMOUR = 0, 1

Points = NDArray[np.int32]  # (points, 2): x and y of pixels of a level


class Places(Protocol):
    """Draws places on some slides."""

    @property
    def jitter(self) -> float:
        """How far from the middle of a patch its place may lie, a share of what is answered."""

    @property
    def least_spread(self) -> float:
        """Mean standard deviation of a patch's channels below which it is drawn again; 0: never."""

    def place(self, number: int, random: np.random.Generator) -> Place:
        """Return the place of the patch of a number; what is left to chance is drawn."""


def place_samplers(
    slides: Sequence[AnnotatedSlide], label_count: int, settings: PatchSettings
) -> Callable[[Collection[int]], Places]:
    """Return what makes, of the numbers of slides that are left, the way of drawing asked for.

    Raises:
        ConfigError: there is nothing that it could draw.
    """
    if settings.data_sampler == "surf":
        contours = [SlideContours(slide, settings.bb_downsample) for slide in slides]
        return lambda left: ContourSampler({n: contours[n] for n in left}, settings)
    if settings.data_sampler == "radboud":
        return lambda left: AnnotationSampler({n: slides[n] for n in left}, label_count, settings)
    by_slide = [SlidePlaces(slide, label_count, settings.object_balance) for slide in slides]
    return lambda left: PlaceSampler({n: by_slide[n] for n in left}, label_count, settings)


@lru_cache(ROUNDS_KEPT)
def _shuffled(seed: tuple[int, ...], count: int) -> NDArray[np.intp]:
    return np.random.default_rng(seed).permutation(count)


def in_rounds(seed: Sequence[int], turn: int, count: int) -> int:
    """Return whose turn it is of so many, each once a round, the rounds shuffled by the seed."""
    return int(_shuffled((*seed, turn // count), count)[turn % count])


class AnnotationSampler:
    """Radboud's: each label as often, and of each label each annotation, whatever its area.

    Args:
        slides: by their numbers.
        label_count: the background included, which counts where layers of it are drawn.
        settings: the seed.

    Raises:
        ConfigError: nothing is drawn.
    """

    jitter = 0.0
    least_spread = 0.0

    def __init__(
        self, slides: dict[int, AnnotatedSlide], label_count: int, settings: PatchSettings
    ) -> None:
        self._seed = settings.seed
        self._annotations = {
            label: [
                (number, polygon)
                for number, slide in slides.items()
                for polygon in slide.shapes_of(label)
            ]
            for label in range(label_count)
        }
        self._labels = [label for label, held in self._annotations.items() if held]
        if not self._labels:
            raise ConfigError("data_sampler", "radboud", "classes where nothing is drawn")

    def place(self, number: int, random: np.random.Generator) -> Place:
        """Return a point within an annotation, which is the middle of the patch."""
        count = len(self._labels)
        label = self._labels[in_rounds((self._seed, 0), number, count)]
        held = self._annotations[label]
        # Each label has one turn a round, so rounds count the turns of each.
        slide, polygon = held[in_rounds((self._seed, 1, label), number // count, len(held))]
        return Place(slide, *point_in(polygon, random))


class SlideContours:
    """The contours of tissue and of all classes on a slide, as pixels of one of its levels.

    Args:
        slide: with what is drawn on it.
        halvings: of level 0.
    """

    def __init__(self, slide: AnnotatedSlide, halvings: int) -> None:
        self.frame = slide.slide.frame(slide.slide.mpp.mean * 2.0**halvings)
        box = self.frame.box
        labels = slide.labels(self.frame, box)
        tumour = (labels > 0) & (labels != IGNORE)
        self._keep_small(slide, tumour)
        tissue = tissue_mask(slide.slide, margin_um=0)
        rows, columns = (
            np.minimum((np.arange(count) + 0.5) * scale // seen, limit - 1).astype(np.intp)
            for count, scale, seen, limit in (
                (box.height, self.frame.scale_y, tissue.frame.scale_y, tissue.frame.height),
                (box.width, self.frame.scale_x, tissue.frame.scale_x, tissue.frame.width),
            )
        )
        around = find_contours(tissue.mask[np.ix_(rows, columns)])
        large = [contour for contour in around if len(contour) >= FEWEST_POINTS]
        self.contours = {TISSUE: large or around, TUMOUR: find_contours(tumour)}

    def _keep_small(self, slide: AnnotatedSlide, tumour: NDArray[np.bool_]) -> None:
        """Mark a pixel of each object, so that none is lost between the pixels of the level."""
        for label, polygons in slide.shapes.items():
            if label in (0, IGNORE):
                continue
            x, y = shapely.get_coordinates(shapely.point_on_surface(np.asarray(polygons, object))).T
            columns, rows = x // self.frame.scale_x, y // self.frame.scale_y
            inside = (columns >= 0) & (rows >= 0)
            inside &= (columns < self.frame.width) & (rows < self.frame.height)
            tumour[rows[inside].astype(np.intp), columns[inside].astype(np.intp)] = True

    def point(
        self, kind: int, turn: int, seed: Sequence[int], random: np.random.Generator
    ) -> tuple[float, float]:
        """Return a point (x, y), level-0 pixels, in a pixel of a contour whose turn it is."""
        contours = self.contours[kind]
        contour = contours[in_rounds(seed, turn, len(contours))]
        x, y = contour[random.integers(len(contour))] + random.random(2)
        return float(x * self.frame.scale_x), float(y * self.frame.scale_y)


def find_contours(mask: NDArray[np.bool_]) -> list[Points]:
    """Return the pixels of each border of a mask, of its holes, too; at its edge as well."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(contour, np.int32).reshape(-1, 2) for contour in found]


class ContourSampler:
    """SURF's: a share of each batch on contours of the classes, the rest on contours of tissue.

    Slides take turns, those that have such contours, and so do the contours of a slide.

    Args:
        slides: by their numbers.
        settings: the share, the least spread, the seed.

    Raises:
        ConfigError: no slide has a contour that the share asks for.
    """

    jitter = 0.0

    def __init__(self, slides: dict[int, SlideContours], settings: PatchSettings) -> None:
        self.least_spread = settings.least_colour_spread
        self._slides, self._seed = slides, settings.seed
        self._ratio = settings.batch_tumor_ratio
        self._holders = {
            kind: [number for number, slide in slides.items() if slide.contours[kind]]
            for kind in (TISSUE, TUMOUR)
        }
        if self._ratio > 0 and not self._holders[TUMOUR]:
            raise ConfigError("batch_tumor_ratio", self._ratio, "0 where no class is drawn")
        if self._ratio < 1 and not self._holders[TISSUE]:
            raise ConfigError("data_sampler", "surf", "classes where no slide has tissue")

    def place(self, number: int, random: np.random.Generator) -> Place:
        """Return a point on a contour, which is the middle of the patch."""
        before, after = (math.floor(n * self._ratio + EXACT) for n in (number, number + 1))
        kind = TUMOUR if after > before else TISSUE
        turn = before if kind else number - before
        holders = self._holders[kind]
        slide = holders[in_rounds((self._seed, kind), turn, len(holders))]
        seed = (self._seed, 2 + kind, slide)
        x0, y0 = self._slides[slide].point(kind, turn // len(holders), seed, random)
        return Place(slide, x0, y0)
