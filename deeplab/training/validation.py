"""What a validation found: pixels by true and predicted label, by slide and by region."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.rasterize import Labels
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import WorkBox, WorkFrame

LEAST_JUDGED = 0.25  # of a region's pixels; what is judged on less is no example of anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A piece of a held-out slide, about as large as a training patch.

    Attributes:
        slide: its name.
        frame: of the box.
        box: work pixels.
        confusion: of the pixels in it that were judged.
        packed: the predicted labels, deflated.
    """

    slide: str
    frame: WorkFrame
    box: WorkBox
    confusion: Confusion
    packed: bytes = field(repr=False)

    @classmethod
    def of(
        cls,
        slide: str,
        frame: WorkFrame,
        box: WorkBox,
        *,
        truth: Labels,
        prediction: Labels,
        label_count: int,
    ) -> Self:
        """The region of two label maps, uint8 (box.height, box.width); truth may be IGNORE."""
        confusion = Confusion(label_count)
        confusion.add(truth, prediction)
        packed = zlib.compress(np.ascontiguousarray(prediction).tobytes(), 1)
        return cls(slide=slide, frame=frame, box=box, confusion=confusion, packed=packed)

    @property
    def prediction(self) -> Labels:
        """The predicted labels, uint8 (box.height, box.width)."""
        flat = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return flat.reshape(self.box.height, self.box.width)

    @property
    def error_share(self) -> float:
        """Share of the judged pixels whose label is wrong; NaN where none was judged."""
        return 1 - self.confusion.accuracy

    @property
    def is_telling(self) -> bool:
        """Whether enough of it was judged to call it good or bad."""
        return self.confusion.pixels >= LEAST_JUDGED * self.box.width * self.box.height

    @property
    def commonest_error(self) -> tuple[int, int] | None:
        """True and predicted label of most of the wrong pixels; None where none is wrong."""
        wrong = self.confusion.counts.copy()
        np.fill_diagonal(wrong, 0)
        if not wrong.any():
            return None
        truth, prediction = np.unravel_index(int(wrong.argmax()), wrong.shape)
        return int(truth), int(prediction)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideScore:
    """How one held-out slide was judged.

    Attributes:
        slide: its name.
        confusion: of all its pixels that were judged.
        mpp_work: um per pixel at which it was judged.
        chosen_px: work pixels of the tiles that were looked at.
        region_px: work pixels of all tiles over what was annotated.
    """

    slide: str
    confusion: Confusion
    mpp_work: float
    chosen_px: int
    region_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """One look at all held-out slides.

    Attributes:
        step: after which it was done.
        label_count: the background included.
        slides: those that were judged.
        regions: all their pieces.
        set_aside: slides that could not be read any more, and why.
    """

    step: int
    label_count: int
    slides: tuple[SlideScore, ...]
    regions: tuple[Region, ...] = field(repr=False)
    set_aside: Mapping[str, str] = field(default_factory=dict)

    @property
    def pooled(self) -> Confusion:
        """The pixels of all slides together."""
        return sum((slide.confusion for slide in self.slides), Confusion(self.label_count))

    @property
    def score(self) -> float:
        """By which validations are compared: mean IoU over the labels that occur, of all pixels."""
        return self.pooled.mean_iou

    def worst(self, most: int) -> list[Region]:
        """At most so many regions with errors, those with the highest share first."""
        wrong = [region for region in self._telling() if region.error_share > 0]
        return sorted(wrong, key=lambda region: -region.error_share)[:most]

    def best(self, most: int) -> list[Region]:
        """At most so many regions with the lowest error shares; those with classes go first."""
        return sorted(
            self._telling(), key=lambda region: (not _has_class(region), region.error_share)
        )[:most]

    def typical(self, most: int) -> list[Region]:
        """At most so many regions around the middle of the error shares, of those with classes."""
        shown = [region for region in self._telling() if _has_class(region)] or self._telling()
        ranked = sorted(shown, key=lambda region: region.error_share)
        first = max(0, (len(ranked) - most) // 2)
        return ranked[first : first + most]

    def _telling(self) -> list[Region]:
        return [region for region in self.regions if region.is_telling]


def _has_class(region: Region) -> bool:
    return bool(region.confusion.true_pixels[1:].any())


def spread(confusions: Sequence[Confusion], seed: int) -> tuple[float, float] | None:
    """Between which mean IoU lies in 95 of 100 draws of as many slides, with repetition.

    It says how far the figure hangs on which slides were held out; None of fewer than three.
    """
    if len(confusions) < 3:
        return None
    counts = np.stack([confusion.counts for confusion in confusions])
    random = np.random.default_rng([seed, 2])
    drawn = random.integers(len(counts), size=(DRAWS, len(counts)))
    found: NDArray[np.float64] = np.array(
        [Confusion.of(counts[some].sum(axis=0)).mean_iou for some in drawn]
    )
    low, high = np.nanquantile(found, (0.025, 0.975))
    return None if math.isnan(low) else (float(low), float(high))


DRAWS = 1000
