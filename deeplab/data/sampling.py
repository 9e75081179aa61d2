"""Where patches are cut: by class, object, tissue; the n-th patch is a function of seed and n.

Because every patch has random numbers of its own, a run that is taken up again at step n goes on
with the very patches it would have had.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Truth
from deeplab.config.train_request import PatchSettings
from deeplab.data.augment import Augmentation
from deeplab.data.levels import level_near
from deeplab.data.mining import HardPlaces, Place
from deeplab.data.place_samplers import Places, place_samplers
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import (
    AccessDeniedError,
    ServerError,
    SlideError,
    TrainingError,
    UnreachableError,
)
from deeplab.geometry.frames import WorkBox, WorkFrame

log = logging.getLogger(__name__)

# Of the side of what a patch is answered for:
OVER_THE_EDGE = 0.25  # what may lie beyond the slide, of networks that answer place by place
ENLARGED = 1.15  # at most; where more is wanted, a finer level is read
REDRAWN = 9  # times, at most, that a patch of too little spread is drawn again


class Patch(NamedTuple):
    """A square of pixels and what the network should answer for it."""

    rgb: NDArray[np.uint8]  # (side, side, channels)
    targets: Mapping[str, NDArray[Any]]  # by the name of the network's output
    place: Place
    spread: float = math.inf  # mean standard deviation of the channels, where it was asked for


def as_drawn(truth: Truth) -> Truth:
    """Return the rasters of a truth as targets under their own names."""
    return truth


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchForm:
    """What a network takes of a patch.

    Attributes:
        side: pixels.
        margin: of these at each edge for which it gives no answer.
        needs: kinds of truth that are drawn.
        over_the_edge: share of the side of what is answered that may lie beyond the slide.
        encode: the truth of a patch, rasters (side, side), to the targets of the outputs.
    """

    side: int
    margin: int = 0
    needs: frozenset[str] = frozenset({"labels"})
    over_the_edge: float = OVER_THE_EDGE
    encode: Callable[[Truth], Mapping[str, NDArray[Any]]] = as_drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """The um per pixel at which patches are read.

    Attributes:
        work_mpp: of all slides.
        downsamples: instead, multiples of a slide's level 0.
        resolution: instead of both, near which is a level of each slide that is read; 0: none.
    """

    work_mpp: float
    downsamples: tuple[float, ...] = ()
    resolution: float = 0.0

    def draw(self, slide: AnnotatedSlide, random: np.random.Generator) -> float:
        """Return the um per pixel of one patch of `slide`."""
        if self.resolution:
            return level_near(slide.slide, self.resolution)
        if not self.downsamples:
            return self.work_mpp
        return slide.slide.mpp.mean * self.downsamples[int(random.integers(len(self.downsamples)))]


class PatchSampler:
    """Draws patches and changes them.

    A slide that can no longer be read is set aside with a warning; a patch that fell on it is drawn
    anew from the others, and all other patches are what they would have been.

    Args:
        slides: to draw from.
        label_count: the background included.
        form: of the patches.
        scales: at which patches are read.
        augmentation: how patches are changed.
        settings: shares, balances, hard mining, seed.
        hard: places where the network was wrong; None where it learns nothing from them.

    Raises:
        ConfigError: the class shares do not fit the classes.
    """

    def __init__(
        self,
        *,
        slides: Sequence[AnnotatedSlide],
        label_count: int,
        form: PatchForm,
        scales: Scales,
        augmentation: Augmentation,
        settings: PatchSettings,
        hard: HardPlaces | None = None,
    ) -> None:
        self._slides, self._label_count, self._form = slides, label_count, form
        self._scales, self._augmentation = scales, augmentation
        self._settings, self._hard = settings, hard
        self._aside: dict[int, str] = {}
        self._lock = threading.Lock()
        self._sampler_of = place_samplers(slides, label_count, settings)
        self._all = self._left = self._sampler_of(range(len(slides)))

    @property
    def set_aside(self) -> list[str]:
        """Names of the slides that could no longer be read, in the order in which it showed."""
        return list(self._aside.values())

    def patch(self, number: int) -> Patch:
        """Return the patch of this number, the same in every run with this seed.

        Raises:
            TrainingError: no slide can be read any longer.
            AccessDeniedError, UnreachableError: the server that has the slides gives no more.
        """
        for attempt in itertools.count():
            random = np.random.default_rng([self._settings.seed, number, attempt])
            # A first draw is from all slides, so that the loss of one does not move the others'.
            draws = self._left if attempt else self._all
            patch = self._cut_if_there(self._drawn(draws, number, random), random)
            for _ in range(REDRAWN if draws.least_spread else 0):
                if patch is None or patch.spread >= draws.least_spread:
                    break
                patch = self._cut_if_there(draws.place(number, random), random)
            if patch and self._settings.mix_up:
                other = self._cut_if_there(draws.place(number, random), random)
                patch = self._mixed(patch, other, random) if other else None
            if patch:
                return patch
        raise AssertionError  # counting does not end

    def _cut_if_there(self, place: Place, random: np.random.Generator) -> Patch | None:
        """Return the patch of a place; None where its slide is set aside, also from now on."""
        if place.slide in self._aside:
            return None
        try:
            return self._cut(place, random)
        except (AccessDeniedError, UnreachableError):
            raise  # not the slide's fault: the others would be lost one by one
        except (SlideError, ServerError) as error:
            self._put_aside(place.slide, error)
        return None

    def _drawn(self, draws: Places, number: int, random: np.random.Generator) -> Place:
        wants_hard = random.random() < self._settings.hard_mining
        place = self._hard.draw(number, random) if self._hard and wants_hard else None
        return place or draws.place(number, random)

    def _cut(self, place: Place, random: np.random.Generator) -> Patch:
        slide, form = self._slides[place.slide], self._form
        side, answered = form.side, form.side - 2 * form.margin
        wanted = slide.slide.frame(self._scales.draw(slide, random))
        warp = self._augmentation.warp(side, random)
        jitter_x, jitter_y = self._all.jitter * answered * random.uniform(-1, 1, 2)
        x0 = _kept_inside(
            place.x0 + jitter_x * wanted.scale_x,
            slide.slide.width_level0,
            answered * wanted.scale_x,
            form.over_the_edge,
        )
        y0 = _kept_inside(
            place.y0 + jitter_y * wanted.scale_y,
            slide.slide.height_level0,
            answered * wanted.scale_y,
            form.over_the_edge,
        )
        mpp = wanted.work_mpp * warp.scale
        frame = wanted if warp.keeps_grid else _frame_to_warp(slide, mpp)
        step = mpp / frame.work_mpp
        read = warp.reads(side, step)
        x, y = round(x0 / frame.scale_x - read / 2), round(y0 / frame.scale_y - read / 2)
        rgb, truth = slide.read(frame, WorkBox(x, y, read, read), form.needs)
        spread = float(rgb.std(axis=(0, 1)).mean()) if self._all.least_spread else math.inf
        rgb, truth = warp.apply(rgb, truth, side, step, outside=slide.slide.channels.outside)
        middle = Place(place.slide, (x + read / 2) * frame.scale_x, (y + read / 2) * frame.scale_y)
        recoloured = self._augmentation.recolour(rgb, random)
        return Patch(recoloured, form.encode(truth), middle, spread)

    def _mixed(self, patch: Patch, other: Patch, random: np.random.Generator) -> Patch:
        """Return a patch mixed with another, targets likewise (Zhang 2018, arXiv:1710.09412)."""
        share = random.beta(self._settings.mix_up, self._settings.mix_up)
        rgb = np.rint(share * patch.rgb + (1 - share) * other.rgb).astype(np.uint8)
        targets = {
            name: (share * value + (1 - share) * other.targets[name]).astype(np.float32)
            for name, value in patch.targets.items()
        }
        return patch._replace(rgb=rgb, targets=targets)

    def _put_aside(self, number: int, error: SlideError | ServerError) -> None:
        with self._lock:
            if number in self._aside:
                return
            name = self._slides[number].name
            self._aside[number] = name
            left = [n for n in range(len(self._slides)) if n not in self._aside]
            if left:
                log.warning("%s is set aside, the training goes on without it: %s", name, error)
                self._left = self._sampler_of(left)
                return
        raise TrainingError(f"no slide can be read any longer; the last one: {error}") from error


def _frame_to_warp(slide: AnnotatedSlide, mpp: float) -> WorkFrame:
    """Level 0 or halves of it, fine enough for patches of `mpp`: no resampling before the warp."""
    halvings = math.floor(math.log2(mpp * ENLARGED / slide.slide.mpp.mean))
    return slide.slide.frame(slide.slide.mpp.mean * 2.0 ** max(0, halvings))


def _kept_inside(middle: float, length: float, side: float, beyond: float) -> float:
    """Middle of a patch moved so that all but a share `beyond` of it lies on the slide."""
    least = side * (0.5 - beyond)
    if length < 2 * least:
        return length / 2
    return min(max(middle, least), length - least)
