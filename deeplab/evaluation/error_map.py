"""A small picture of a slide that shows where prediction and reference agree and where not."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeplab.annotations.raster.rasterize import Labels
from deeplab.config.classes import Rgb, SlideClass
from deeplab.evaluation.field import Block
from deeplab.evaluation.mistakes import FALSE, MISSED
from deeplab.geometry.frames import WorkBox

LONGEST = 720  # cells of the picture's longer side
RIGHT, MISTAKEN, UNJUDGED = (170, 186, 178), (240, 190, 40), (225, 225, 228)
# In the order in which they are counted; what is background on both sides stays white.
KINDS: tuple[SlideClass, ...] = (
    SlideClass("drawn and found", RIGHT),
    SlideClass("missed", MISSED),
    SlideClass("false", FALSE),
    SlideClass("taken for another class", MISTAKEN),
    SlideClass("not judged", UNJUDGED),
)
WHITE: Rgb = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class ErrorPicture:
    """The picture as PNG, and how wide a piece of the slide it shows."""

    png: bytes
    width_mm: float


@dataclass(frozen=True, slots=True)
class _Span:
    """The cells that a run of pixels falls into: the first pixel of each, and the cells."""

    starts: NDArray[np.intp]
    cells: slice

    @classmethod
    def of(cls, first: int, count: int, cell: int) -> _Span:
        places = (np.arange(count) + first) // cell
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        return cls(starts, slice(int(places[0]), int(places[-1]) + 1))


class ErrorMap:
    """Counts, cell by cell, what the pixels of a box are; blocks come in any order.

    Args:
        box: the work pixels that are shown.
    """

    def __init__(self, box: WorkBox) -> None:
        self._box = box
        self._cell = max(1, -(-max(box.width, box.height) // LONGEST))
        shape = (-(-box.height // self._cell), -(-box.width // self._cell))
        self._counts = np.zeros((len(KINDS), *shape), np.int32)

    def add(self, block: Block) -> None:
        """Take one more block."""
        shown = block.core.intersection(self._box)
        if shown.is_empty:
            return
        part = shown.within(block.outer)
        columns = _Span.of(shown.x - self._box.x, shown.width, self._cell)
        rows = _Span.of(shown.y - self._box.y, shown.height, self._cell)
        kinds = _kinds(block.truth[part], block.prediction[part], block.judged[part])
        for place, mask in enumerate(kinds):
            sums = np.add.reduceat(mask, columns.starts, axis=1, dtype=np.int32)
            sums = np.add.reduceat(sums, rows.starts, axis=0)
            self._counts[place, rows.cells, columns.cells] += sums

    def picture(self, work_mpp: float) -> ErrorPicture:
        """Return what was counted: each cell in the mixture of the colours of its pixels."""
        shares = np.minimum(self._counts / self._cell**2, 1)
        colours = np.array([kind.colour for kind in KINDS], np.float64) - WHITE
        mixed = np.clip(np.tensordot(shares, colours, axes=(0, 0)) + WHITE, 0, 255)
        out = io.BytesIO()
        Image.fromarray(np.rint(mixed).astype(np.uint8)).save(out, "PNG")
        return ErrorPicture(out.getvalue(), self._box.width * work_mpp / 1e3)


def _kinds(
    truth: Labels, prediction: Labels, judged: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], ...]:
    """Return where each of KINDS is."""
    drawn, found, same = truth > 0, prediction > 0, truth == prediction
    return drawn & same, drawn & ~found, found & ~drawn, drawn & found & ~same, ~judged
