"""Where patches are cut: by class, object, tissue; the n-th patch is a function of seed and n.

Because every patch has random numbers of its own, a run that is taken up again at step n goes on
with the very patches it would have had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.data.augment import Augmentation
from deeplab.data.truth import AnnotatedSlide
from deeplab.geometry.frames import WorkBox, WorkFrame

JITTER = 0.35  # how far from a patch's middle what was drawn may lie, in sides of the patch
OVER_THE_EDGE = 0.25  # share of a patch's side that may lie beyond the slide
TRIES = 20  # draws of a point before an outline's own inner point is taken


class Patch(NamedTuple):
    """A square of pixels and what they are."""

    rgb: NDArray[np.uint8]  # (side, side, 3)
    labels: NDArray[np.uint8]  # (side, side), 255 ignored


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """The um per pixel at which patches are read: one value, or multiples of a slide's level 0."""

    work_mpp: float
    downsamples: tuple[float, ...] = ()

    def draw(self, slide: AnnotatedSlide, random: np.random.Generator) -> float:
        """The um per pixel of one patch of `slide`."""
        if not self.downsamples:
            return self.work_mpp
        return slide.slide.mpp.mean * float(random.choice(self.downsamples))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSampler:
    """Draws patches: a class, a slide that has it, an object of it, a point in that object.

    All classes are drawn equally often, the background among them; every slide that has the class
    and every object of it on the slide likewise. The background's point lies on tissue, or anywhere
    with the probability `anywhere`.
    """

    slides: Sequence[AnnotatedSlide]
    label_count: int
    side: int
    scales: Scales
    augmentation: Augmentation
    anywhere: float
    seed: int

    def patch(self, number: int) -> Patch:
        """The patch of this number, the same in every run with this seed."""
        random = np.random.default_rng([self.seed, number])
        label = int(random.choice(self._labels()))
        holders = [s for s in self.slides if label == 0 or s.shapes_of(label)]
        slide = holders[int(random.integers(len(holders)))]
        frame = slide.slide.frame(self.scales.draw(slide, random))
        x, y = self._centre(slide, frame, label, random)
        read = round(self.side * self.augmentation.reach)
        read += (read - self.side) % 2  # so that the patch lies on the middle of what is read
        box = WorkBox(x - read // 2, y - read // 2, read, read)
        rgb, labels = slide.read(frame, box)
        return Patch(*self.augmentation(rgb, labels, self.side, random))

    def _labels(self) -> list[int]:
        held = [
            label
            for label in range(1, self.label_count)
            if any(s.shapes_of(label) for s in self.slides)
        ]
        return [0, *held]

    def _centre(
        self, slide: AnnotatedSlide, frame: WorkFrame, label: int, random: np.random.Generator
    ) -> tuple[int, int]:
        if label:
            shapes = slide.shapes_of(label)
            x0, y0 = point_in(shapes[int(random.integers(len(shapes)))], random)
        elif random.random() < self.anywhere:
            x0 = random.uniform(0, slide.slide.width_level0)
            y0 = random.uniform(0, slide.slide.height_level0)
        else:
            x0, y0 = slide.tissue_point(random)
        jitter = JITTER * self.side * random.uniform(-1, 1, 2)
        x = _kept_inside(x0 / frame.scale_x + jitter[0], frame.width, self.side)
        y = _kept_inside(y0 / frame.scale_y + jitter[1], frame.height, self.side)
        return x, y


def _kept_inside(middle: float, length: int, side: int) -> int:
    """Middle of a patch moved so that most of it lies on the slide."""
    least = side * (0.5 - OVER_THE_EDGE)
    if length < 2 * least:
        return length // 2
    return round(min(max(middle, least), length - least))


def point_in(polygon: shapely.Polygon, random: np.random.Generator) -> tuple[float, float]:
    """A random point inside a polygon, (x, y)."""
    left, top, right, bottom = polygon.bounds
    x = random.uniform(left, right, TRIES)
    y = random.uniform(top, bottom, TRIES)
    inside = np.flatnonzero(shapely.contains_xy(polygon, x, y))
    if inside.size:
        return float(x[inside[0]]), float(y[inside[0]])
    point = polygon.representative_point()
    return float(point.x), float(point.y)
