"""Places where the network was wrong, to be shown to it again.

Patches are made ahead of the step that learns from them, so a place is not drawn as soon as it is
noted: the patches of one block of steps are drawn from the places noted two blocks before or
earlier. What is drawn is then the same however far ahead the threads are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deeplab.errors import TrainingError

BLOCK_STEPS = 32  # more than batches are ever made ahead
WINDOW = 32  # blocks: the network has changed since those before them
KEPT_SHARE = 0.25  # of the patches of a block, the hardest
KEPT_MOST = 128


class Place(NamedTuple):
    """The middle of a patch."""

    slide: int  # in the sampler's list
    x0: float  # level-0 pixels
    y0: float


class HardPlaces:
    """The hardest places of the last blocks of steps, and draws of them by their loss.

    Args:
        batch_size: patches a step, on all machines together.
    """

    def __init__(self, batch_size: int) -> None:
        self._block = BLOCK_STEPS * batch_size
        self._kept = min(KEPT_MOST, max(1, round(KEPT_SHARE * self._block)))
        # Block to rows of number, loss, slide, x0, y0; the hardest first.
        self._noted: dict[int, NDArray[np.float64]] = {}
        self._pool: tuple[int, NDArray[np.float64]] = (-1, np.zeros((0, 5)))

    def note(self, numbers: ArrayLike, places: ArrayLike, losses: ArrayLike) -> None:
        """Add the losses of the patches of one step.

        With several workers every worker notes the patches of all, so that all draw alike.

        Args:
            numbers: (n,) of the patches.
            places: (n, 3) slide, x0, y0.
            losses: (n,) mean loss of each patch.
        """
        rows = np.column_stack([np.asarray(a, np.float64) for a in (numbers, losses, places)])
        rows = rows[np.isfinite(rows[:, 1])]
        for block in np.unique(rows[:, 0] // self._block).astype(int):
            mine = rows[rows[:, 0] // self._block == block]
            known = self._noted.get(block, np.zeros((0, 5)))
            both = np.concatenate([known[~np.isin(known[:, 0], mine[:, 0])], mine])
            order = np.lexsort([both[:, 0], -both[:, 1]])
            self._noted[block] = both[order[: self._kept]]
            for old in [b for b in self._noted if b < block - WINDOW - 2]:
                del self._noted[old]

    def draw(self, number: int, random: np.random.Generator) -> Place | None:
        """A hard place for the patch of this number; None as long as too few steps were taken."""
        rows = self._drawable(number // self._block)
        if not len(rows):
            return None
        shares = np.cumsum(np.maximum(rows[:, 1], 0) + 1e-9)
        row = rows[np.searchsorted(shares, random.random() * shares[-1], side="right")]
        return Place(int(row[2]), float(row[3]), float(row[4]))

    def _drawable(self, block: int) -> NDArray[np.float64]:
        known, rows = self._pool  # one value, as many threads draw
        if known != block:
            first = block - 2 - WINDOW
            noted = sorted(self._noted.copy().items())
            drawable = (rows for b, rows in noted if first < b <= block - 2)
            rows = np.concatenate([np.zeros((0, 5)), *drawable])
            self._pool = (block, rows)
        return rows

    def state(self) -> dict[str, Any]:
        """Return all that was noted and may still be drawn, for JSON."""
        return {
            "patches_a_block": self._block,
            "noted": {str(block): rows.tolist() for block, rows in self._noted.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken.

        Raises:
            TrainingError: it was taken with another batch size, or is no such state.
        """
        self._noted = self.noted_in(state)
        self._pool = (-1, np.zeros((0, 5)))

    def noted_in(self, state: Mapping[str, Any]) -> dict[int, NDArray[np.float64]]:
        """Return what a state holds: by block rows of number, loss, slide, x0 and y0.

        Raises:
            TrainingError: it was taken with another batch size, or is no such state.
        """
        try:
            if state["patches_a_block"] != self._block:
                raise TrainingError(
                    "the hard places of this checkpoint were noted with another batch size"
                )
            noted: Mapping[str, Sequence[Sequence[float]]] = state["noted"]
            return {
                int(block): np.asarray(rows, np.float64).reshape(-1, 5)
                for block, rows in noted.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise TrainingError("the hard places of this checkpoint are damaged") from error
