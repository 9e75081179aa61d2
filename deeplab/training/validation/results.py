"""What a validation found: tallies, by slide and by region."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Truth
from deeplab.evaluation.tally import Tally
from deeplab.geometry.frames import WorkBox, WorkFrame

T = TypeVar("T", bound=Tally)
LEAST_JUDGED = 0.25  # of a region's pixels; what is judged on less is no example of anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A piece of a held-out slide, about as large as a training patch.

    Attributes:
        slide: its name.
        frame: of the box.
        box: work pixels.
        tally: of what was judged in it; objects count where their centre lies.
        judged_px: its pixels of which the truth is known.
        packed: the rasters of what was predicted, deflated, by kind, with the type of each.
    """

    slide: str
    frame: WorkFrame
    box: WorkBox
    tally: Tally
    judged_px: int
    packed: Mapping[str, tuple[np.dtype[Any], bytes]] = field(repr=False)

    @classmethod
    def of(
        cls,
        slide: str,
        frame: WorkFrame,
        box: WorkBox,
        *,
        tally: Tally,
        judged_px: int,
        prediction: Truth,
    ) -> Self:
        """Return the region with its prediction packed, rasters (box.height, box.width)."""
        packed = {
            kind: (raster.dtype, zlib.compress(np.ascontiguousarray(raster).tobytes(), 1))
            for kind, raster in prediction.items()
        }
        return cls(
            slide=slide, frame=frame, box=box, tally=tally, judged_px=judged_px, packed=packed
        )

    @property
    def prediction(self) -> Truth:
        """What was predicted, as the truth would be drawn: rasters (box.height, box.width)."""
        shape = (self.box.height, self.box.width)
        return {
            kind: np.frombuffer(zlib.decompress(packed), dtype).reshape(shape)
            for kind, (dtype, packed) in self.packed.items()
        }

    @property
    def error_share(self) -> float:
        """How much of it is wrong, 0 to 1; 0 where there was nothing and nothing was found."""
        return float(np.nan_to_num(self.tally.error_share))

    @property
    def is_telling(self) -> bool:
        """Whether enough of it was judged to call it good or bad."""
        return self.judged_px >= LEAST_JUDGED * self.box.width * self.box.height

    @property
    def commonest_error(self) -> tuple[int, int] | None:
        """True and predicted label of most errors; None where nothing is wrong."""
        return self.tally.commonest_error

    @property
    def has_class(self) -> bool:
        """Whether some class is truly in it."""
        return bool(self.tally.class_amounts.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScore:
    """How one held-out slide was judged.

    Attributes:
        slide: its name.
        tally: of all that was judged on it.
        work_mpp: um per pixel at which it was judged.
        chosen_px: work pixels of the tiles that were looked at.
        region_px: work pixels of all tiles over what was annotated.
    """

    slide: str
    tally: Tally
    work_mpp: float
    chosen_px: int
    region_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """One look at all held-out slides.

    Attributes:
        step: after which it was done.
        nothing: the tally of nothing, to which those of slides are added.
        slides: those that were judged.
        regions: all their pieces.
        set_aside: slides that could not be read any more, and why.
    """

    step: int
    nothing: Tally
    slides: tuple[ValidationScore, ...]
    regions: tuple[Region, ...] = field(repr=False)
    set_aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def pooled(self) -> Tally:
        """All slides together."""
        return reduce(add, (slide.tally for slide in self.slides), self.nothing)

    @property
    def score(self) -> float:
        """By which validations are compared: the score of all slides together."""
        return self.pooled.score

    def worst(self, most: int) -> list[Region]:
        """At most so many regions with errors, those with the highest share first."""
        wrong = [region for region in self._telling() if region.error_share > 0]
        return sorted(wrong, key=lambda region: -region.error_share)[:most]

    def best(self, most: int) -> list[Region]:
        """At most so many regions with the lowest error shares; those with classes go first."""
        return sorted(
            self._telling(), key=lambda region: (not region.has_class, region.error_share)
        )[:most]

    def typical(self, most: int) -> list[Region]:
        """At most so many regions around the middle of the error shares, of those with classes."""
        shown = [region for region in self._telling() if region.has_class] or self._telling()
        ranked = sorted(shown, key=lambda region: region.error_share)
        first = max(0, (len(ranked) - most) // 2)
        return ranked[first : first + most]

    def _telling(self) -> list[Region]:
        return [region for region in self.regions if region.is_telling]


def score_of(tally: Tally) -> float:
    """Return the score of a tally."""
    return tally.score


def spread(
    tallies: Sequence[T], seed: int, figure: Callable[[T], float] = score_of
) -> tuple[float, float] | None:
    """Return the bounds of a figure in 95 of 100 draws of as many slides, with repetition.

    They say how far the figure depends on which slides were held out; None of fewer than three.

    Args:
        tallies: one a slide.
        seed: of the draws.
        figure: of the tally of the slides of a draw.
    """
    if len(tallies) < 3:
        return None
    counts = np.stack([tally.counts for tally in tallies])
    random = np.random.default_rng([seed, 2])
    drawn = random.integers(len(counts), size=(DRAWS, len(counts)))
    # How often each is drawn times its counts, for copies of thousands of tallies take minutes.
    often = np.stack([np.bincount(some, minlength=len(counts)) for some in drawn])
    flat = counts.reshape(len(counts), -1).astype(np.float64)  # whole numbers stay exact
    found: NDArray[np.float64] = np.array(
        [figure(tallies[0].of((some @ flat).reshape(counts.shape[1:]))) for some in often]
    )
    return middle_of(found)


def middle_of(drawn: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the bounds of 95 of 100 draws (draws,); None where a figure is defined in none."""
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


DRAWS = 1000
