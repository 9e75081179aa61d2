"""Tiles moved to the tissue: fewer than on a grid that does not know where it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.inference.plan import Area, is_wanted, wanted_slots
from deeplab.slides.tissue import TissueMask

_Piece = tuple[int, int, bool]  # from, to, and whether it is a tile: else nothing lies there
_Slots = list[tuple[TileSlot, bool]]


def fit_slots(plan: TilePlan, area: Area, tissue: TissueMask | None) -> _Slots:
    """Return tiles of a plan, and whether the kept part of each touches the area and tissue.

    Rows of tiles start where tissue starts, and in each row so do tiles, wherever cells of the
    network may: a pixel's answer does not depend on it. Between them lie slots that are not wanted.
    All cover the plan's area once, in reading order. Where that saves no tile, they are its grid.
    """
    grid = wanted_slots(plan, area, tissue)
    if tissue is None:
        return grid
    fitted = [
        (slot, is_tile and is_wanted(slot.write, area, tissue))
        for slot, is_tile in _fitted(plan, area, tissue)
    ]
    return fitted if _count(fitted) < _count(grid) else grid


def _count(slots: _Slots) -> int:
    return sum(wanted for _, wanted in slots)


def _fitted(plan: TilePlan, area: Area, tissue: TissueMask) -> Iterator[tuple[TileSlot, bool]]:
    """Yield slots, and whether each is a tile at which there is tissue, or a gap."""
    box, frame = plan.area, tissue.frame
    scale_x, scale_y = frame.scale_x / area.frame.scale_x, frame.scale_y / area.frame.scale_y
    part = tissue.part(area.frame, box)
    mask = tissue.mask[part.within(frame.box)]
    rows = _spans(np.any(mask, axis=1), part.y, scale_y)
    for top, bottom, is_row in _pieces(plan, rows, box.y, box.bottom):
        first = int(top / scale_y) - part.y
        last = int(np.ceil(bottom / scale_y)) - part.y
        there = np.any(mask[max(first, 0) : last], axis=0)
        columns = _spans(there, part.x, scale_x) if is_row else ()
        for left, right, is_tile in _pieces(plan, columns, box.x, box.right):
            yield plan.slot(left, top, right - left, bottom - top), is_tile


def _spans(there: NDArray[np.bool_], first: int, scale: float) -> list[tuple[int, int]]:
    """Return from where to where there is something, work pixels, rounded outwards.

    Args:
        there: of each of a row of coarse pixels.
        first: number of the first of them, counted from the slide's origin.
        scale: work pixels a coarse pixel.
    """
    changes = np.flatnonzero(np.diff(there, prepend=False, append=False)) + first
    starts, stops = np.floor(changes[::2] * scale), np.ceil(changes[1::2] * scale)
    return list(zip(starts.astype(int).tolist(), stops.astype(int).tolist(), strict=True))


def _pieces(
    plan: TilePlan, spans: Iterable[tuple[int, int]], first: int, end: int
) -> Iterator[_Piece]:
    """Yield what follows on one another from `first` to `end`: tiles over the spans, and gaps.

    A tile is a step of the plan long, a gap at most that.
    """
    at = plan.aligned(first)
    for begin, stop in spans:
        while max(at, begin) < min(stop, end):
            start = max(at, plan.aligned(begin))
            yield from _gaps(at, start, plan.step)
            at = start + plan.step
            yield start, at, True
    yield from _gaps(at, end, plan.step)


def _gaps(at: int, end: int, step: int) -> Iterator[_Piece]:
    for start in range(at, end, step):
        yield start, min(start + step, end), False
