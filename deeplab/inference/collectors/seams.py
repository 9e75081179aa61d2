"""Objects that several tiles have seen, each a little differently: one version of each is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from deeplab.annotations.trace.outlines import TracedShape
from deeplab.geometry.frames import WorkBox

# How far beyond a seam a tile's objects are still looked at, work pixels: neighbours that decode a
# nucleus differently may each see its centre on the other's side.
BAND = 8
SAME = 0.5  # IoU, or share of the smaller one, from which two versions are of one object

Pairs = NDArray[np.int64]  # (pairs, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An object as one tile has seen it, whole.

    Attributes:
        shape: what is known of it.
        centre: x, y, work pixels.
        bottom: first row below it, work pixels.
        tile: number of the tile.
        is_owned: whether the centre lies in the tile's write box.
        depth: work pixels from the centre to the nearest seam of the write box; below 0 beyond it.
    """

    shape: TracedShape
    centre: tuple[float, float]
    bottom: int
    tile: int
    is_owned: bool
    depth: float

    @property
    def rank(self) -> tuple[bool, float, int]:
        """Key by which the version to be trusted most comes first."""
        return not self.is_owned, -self.depth, self.tile


def seam_depth(
    x: NDArray[np.float64], y: NDArray[np.float64], write: WorkBox, area: WorkBox
) -> NDArray[np.float64]:
    """Return how deep points (n,) lie inside a write box, work pixels (n,); below 0 outside.

    Only sides with another tile behind them count, those inside `area`.
    """
    sides = [
        np.where(is_seam, distance, np.inf)
        for is_seam, distance in (
            (write.x > area.x, x - write.x),
            (write.y > area.y, y - write.y),
            (write.right < area.right, write.right - x),
            (write.bottom < area.bottom, write.bottom - y),
        )
    ]
    depth: NDArray[np.float64] = np.min(sides, axis=0)
    return depth


def part_settled(
    versions: Sequence[Version], next_top: int | None
) -> tuple[list[Version], list[Version]]:
    """Part versions into the objects that are settled, one version each, and those still open.

    Args:
        versions: of all tiles so far that are still open.
        next_top: first row that tiles to come can see, work pixels; None: none come.

    Returns:
        The objects from the top, each row from the left, and the versions to be held.
    """
    pairs, shared = _overlaps(versions)
    count = len(versions)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, group = connected_components(links, directed=False)
    is_open = np.array([next_top is not None and v.bottom > next_top for v in versions], np.bool_)
    # A group waits as a whole: which of its versions is kept depends on all of them.
    waits = np.isin(group, group[is_open])
    chosen = _choose(versions, np.flatnonzero(~waits).tolist(), pairs, shared)
    settled = sorted((versions[i] for i in chosen), key=lambda v: v.centre[::-1])
    return settled, [versions[i] for i in np.flatnonzero(waits).tolist()]


def _overlaps(versions: Sequence[Version]) -> tuple[Pairs, NDArray[np.float64]]:
    """Return pairs of versions of different tiles that share much, and their IoU (pairs,)."""
    if not versions:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    polygons = np.array([version.shape.polygon for version in versions], np.object_)
    tiles = np.array([version.tile for version in versions])
    one, other = shapely.STRtree(polygons).query(polygons)
    apart = (one < other) & (tiles[one] != tiles[other])
    one, other = one[apart], other[apart]
    areas = shapely.area(polygons)
    common = shapely.area(shapely.intersection(polygons[one], polygons[other]))
    much = common >= SAME * np.minimum(areas[one], areas[other])
    union = areas[one] + areas[other] - common
    return np.column_stack([one, other])[much].astype(np.int64), (common / union)[much]


def _choose(
    versions: Sequence[Version],
    candidates: Iterable[int],
    pairs: Pairs,
    shared: NDArray[np.float64],
) -> list[int]:
    """Return indices of one version an object.

    Of versions that are nearly equal the best placed is kept. What then still overlaps are objects
    that one tile has parted and another has not: the larger one is kept, so that nothing is lost.
    """
    ranked = sorted(candidates, key=lambda i: versions[i].rank)
    survivors = _pass_rivals(ranked, pairs[shared >= SAME])
    by_size = sorted(survivors, key=lambda i: -versions[i].shape.area_px_work)
    return _pass_rivals(by_size, pairs)


def _pass_rivals(ranked: Iterable[int], rivals: Pairs) -> list[int]:
    """Return those of `ranked`, best first, that no better one which is kept rivals."""
    of: dict[int, list[int]] = defaultdict(list)
    for one, other in rivals.tolist():
        of[one].append(other)
        of[other].append(one)
    kept: dict[int, None] = {}
    for index in ranked:
        if not any(rival in kept for rival in of[index]):
            kept[index] = None
    return list(kept)
