"""Tiles that memory does not suffice for, answered in parts."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from deeplab.geometry.grid import TilePlan
from deeplab.inference.stream import BatchMaps, Predict, Tiles

log = logging.getLogger(__name__)

ROWS, COLUMNS = 1, 2  # axes of maps


def part_sides(plan: TilePlan, *, least_side: int) -> tuple[int, ...]:
    """Return the sides of parts of a plan's tiles, of parts of those and so on, falling."""
    sides = [plan.tile]
    while _has_parts(plan, sides[-1], least_side):
        sides.append(_part_side(plan, sides[-1]))
    return tuple(sides[1:])


def _part_step(plan: TilePlan, side: int) -> int:
    """Return what is kept of each part of a tile: half of what is kept of that, or more."""
    return plan.tiling.whole(-(-plan.tiling.step(side, plan.halo) // 2))


def _part_side(plan: TilePlan, side: int) -> int:
    return _part_step(plan, side) + plan.tiling.extra + 2 * plan.halo


def _has_parts(plan: TilePlan, side: int, least_side: int) -> bool:
    smaller = _part_side(plan, side)
    return least_side <= smaller < side and plan.tiling.accepts(smaller)


class SmallerTiles:
    """Predicts tiles one by one, then each as four smaller ones, once memory does not suffice.

    The four lie on the cells of the tile and each is read with its halo, as tiles of a plan are;
    so what is kept of the answer is the same. What turned out too large is not tried again.

    Args:
        predict: uint8 (n, side, side, channels), of any side that the tiling accepts, to maps; says
            MemoryError where memory does not suffice.
        plan: of the tiles.
        least_side: of the parts, work pixels.
    """

    def __init__(self, predict: Predict, plan: TilePlan, *, least_side: int) -> None:
        self._predict, self._plan, self._least_side = predict, plan, least_side
        self._one_by_one = False
        self._too_large = math.inf  # side of tiles, work pixels

    def __call__(self, tiles: Tiles) -> BatchMaps:
        """Return the maps of tiles uint8 (n, side, side, channels).

        Raises:
            MemoryError: not even the smallest part can be predicted.
        """
        if len(tiles) > 1 and self._one_by_one:
            several = [self(tile[None]) for tile in tiles]
            return {name: np.concatenate([maps[name] for maps in several]) for name in several[0]}
        side = tiles.shape[1]
        if side < self._too_large:
            try:
                return self._predict(tiles)
            except MemoryError:
                if len(tiles) == 1 and not _has_parts(self._plan, side, self._least_side):
                    raise
            # Not in the handler: what the error holds has to be free.
            self._take_less(len(tiles), side)
            return self(tiles)
        return self._in_parts(tiles)

    def _take_less(self, count: int, side: int) -> None:
        if count > 1:
            self._one_by_one = True
            log.warning("memory does not suffice for %d tiles at once: one by one from here", count)
            return
        self._too_large = side
        log.warning(
            "memory does not suffice for tiles of %d pixels: in parts of %d from here",
            side,
            _part_side(self._plan, side),
        )

    def _in_parts(self, tiles: Tiles) -> BatchMaps:
        side = tiles.shape[1]
        part, step = _part_side(self._plan, side), _part_step(self._plan, side)
        moved = self._plan.tiling.step(side, self._plan.halo) - step
        rows = []
        for y in (0, moved):
            row = [self(tiles[:, y : y + part, x : x + part]) for x in (0, moved)]
            rows.append(self._met(row, part, moved, COLUMNS))
        return self._met(rows, part, moved, ROWS)

    def _met(self, two: Sequence[BatchMaps], part: int, moved: int, axis: int) -> BatchMaps:
        """Return the maps of two parts as one; the second lies `moved` pixels further."""
        plan = self._plan
        trim = max(plan.trim, plan.tiling.margin)
        extra, step = plan.tiling.extra, part - plan.tiling.extra - 2 * plan.halo
        first, second = two
        maps: BatchMaps = {}
        for name, values in first.items():
            # Pixels of a cell of this map; the last one may be a corner.
            cell = (part - 2 * trim - extra) // (values.shape[axis] - extra)
            seam = (plan.halo + step - trim) // cell  # where what is kept of the first ends
            rest = np.arange(seam - moved // cell, values.shape[axis])
            whole = [np.take(values, np.arange(seam), axis), np.take(second[name], rest, axis)]
            maps[name] = np.concatenate(whole, axis)
        return maps
