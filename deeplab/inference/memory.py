"""How large tiles may be for the memory that there is, told by what a small one takes."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deeplab.inference.stream import BATCHES_AHEAD, DECODERS, Predict

log = logging.getLogger(__name__)

STATM = Path("/proc/self/statm")
GB = 1e9
ROOMY = 8 * GB  # tiles as models suggest them take less, so that nothing need be tried
SPARE = 0.1  # of the limit: what is found and written
IN_FLIGHT = BATCHES_AHEAD + DECODERS  # tiles that are read or decoded while one is predicted


def resident_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Memory(NamedTuple):
    """What a process may hold.

    Attributes:
        limit_bytes: all of it.
        parts: sides of tiles, falling, in which larger ones may be answered.
    """

    limit_bytes: float
    parts: tuple[int, ...]

    def largest_side(self, compiled: Callable[[int], Predict], side: int, channels: int) -> int:
        """Return the side of tiles, or the first of their parts that fit, or else the last.

        Maps take memory by the pixels of a tile, and weights beside them. The smallest parts are
        tried, and the others are reckoned from them.

        Args:
            compiled: gives a predictor for tiles of a side, which answers all of them.
            side: of whole tiles.
            channels: of the tiles.
        """
        if not self.parts or self.limit_bytes >= ROOMY or not resident_bytes():
            return side
        least = self.parts[-1]
        predict, tiles = compiled(least), np.zeros((1, least, least, channels), np.uint8)
        with_weights = resident_bytes()
        maps = predict(tiles)
        passed_on = tiles.nbytes + sum(values.nbytes for values in maps.values())
        held = max(0, resident_bytes() - with_weights) + IN_FLIGHT * passed_on
        del predict, maps
        gc.collect()
        room = (1 - SPARE) * self.limit_bytes - with_weights
        fitting = (each for each in (side, *self.parts) if held * (each / least) ** 2 <= room)
        found = next(fitting, least)
        if found < side:
            log.warning(
                "%.2g GB of memory suffice for tiles of %d pixels, not %d",
                self.limit_bytes / GB,
                found,
                side,
            )
        return found
