"""Objects that several tiles have seen, each a little differently: one version of each is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import polygon_parts
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.geometry.frames import WorkBox, WorkFrame

# How far beyond a seam a tile's objects are still looked at, work pixels: neighbours that decode a
# nucleus differently may each see its centre on the other's side.
BAND = 8
SAME_OBJECT = 0.5  # IoU, or share of the smaller one, from which two versions are of one object

Pairs = NDArray[np.int64]  # (pairs, 2)
Sides = tuple[float, float, float, float]  # left, top, right, bottom: work pixels outwards
NO_SIDE: Sides = (-np.inf,) * 4


def sides_of(box: WorkBox) -> Sides:
    """Return where the sides of a box lie, work pixels outwards: left and top with a minus."""
    return -box.x, -box.y, box.right, box.bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An object as one tile has seen it.

    Attributes:
        shape: what is known of it.
        centre: x, y, work pixels, of what is seen of it.
        bottom: first row below it, work pixels.
        tile: number of the tile.
        write: the tile's write box.
        sees: the sides of all that the tile sees.
        cut: those of them that cut the object, -inf for the others.
        is_owned: whether the centre lies in the tile's write box.
        is_near: whether the centre lies there, or no farther beyond it than `BAND`, and in the
            area.
        depth: work pixels from the centre to the nearest seam of the write box; below 0 beyond it.
    """

    shape: TracedShape
    centre: tuple[float, float]
    bottom: int
    tile: int
    write: WorkBox
    sees: Sides
    cut: Sides
    is_owned: bool
    is_near: bool
    depth: float

    @property
    def is_whole(self) -> bool:
        """Whether no side of what the tile sees cuts it."""
        return self.cut == NO_SIDE

    @property
    def rank(self) -> tuple[bool, float, int]:
        """Key by which the version to be trusted most comes first."""
        return not self.is_owned, -self.depth, self.tile


class Parted(NamedTuple):
    """What has become of versions.

    Attributes:
        settled: the objects from the top, each row from the left, one version each.
        held: those that wait for the next row of tiles.
        lost: number of objects of which no tiles together see all.
    """

    settled: list[Version]
    held: list[Version]
    lost: int


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


def part_settled(versions: Sequence[Version], next_top: int | None, frame: WorkFrame) -> Parted:
    """Part versions into the objects that are settled, one version each, and those still open.

    An object that no tile sees whole is joined of what several tiles see of it, if these see all of
    it together and one of them has its centre.

    Args:
        versions: of all tiles so far that are still open.
        next_top: first row that tiles to come can see, work pixels; None: none come.
        frame: in which the work pixels lie.
    """
    pairs, shared = _overlaps(versions, frame)
    group = _groups(len(versions), pairs)
    is_open = np.array([next_top is not None and v.bottom > next_top for v in versions], np.bool_)
    # A group waits as a whole: which of its versions is kept depends on all of them.
    waits = np.isin(group, group[is_open])
    ready = np.flatnonzero(~waits).tolist()
    chosen = _choose(
        versions, [i for i in ready if versions[i].is_whole and versions[i].is_near], pairs, shared
    )
    joined, lost = _join(versions, ready, set(chosen), pairs, frame)
    settled = sorted([*(versions[i] for i in chosen), *joined], key=lambda v: v.centre[::-1])
    return Parted(settled, [versions[i] for i in np.flatnonzero(waits).tolist()], lost)


def _groups(count: int, pairs: Pairs) -> NDArray[np.int32]:
    """Return the group of each of `count` versions (count,), of those that pairs hold together."""
    from scipy.sparse import coo_array  # noqa: PLC0415  0.2 s, and only objects need it
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  as above

    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    group: NDArray[np.int32] = connected_components(links, directed=False)[1]
    return group


def _overlaps(versions: Sequence[Version], frame: WorkFrame) -> tuple[Pairs, NDArray[np.float64]]:
    """Return pairs of versions of different tiles that share much, and their IoU (pairs,).

    Two that are cut share much where they do so in what both of their tiles see.
    """
    if not versions:
        return np.zeros((0, 2), np.int64), np.zeros(0)
    polygons = np.array([version.shape.polygon for version in versions], np.object_)
    tiles = np.array([version.tile for version in versions])
    one, other = shapely.STRtree(polygons).query(polygons)
    apart = (one < other) & (tiles[one] != tiles[other])
    one, other = one[apart], other[apart]
    areas = shapely.area(polygons)
    common = shapely.area(shapely.intersection(polygons[one], polygons[other]))
    least = np.minimum(areas[one], areas[other])
    is_cut = np.array([not version.is_whole for version in versions])
    both = np.flatnonzero(is_cut[one] & is_cut[other])
    if len(both):
        seen = {i: _seen(versions[i], frame) for i in {*one[both].tolist(), *other[both].tolist()}}
        shown = [
            shapely.area(
                shapely.intersection(polygons[cut[both]], [seen[i] for i in by[both].tolist()])
            )
            for cut, by in ((one, other), (other, one))
        ]
        least[both] = np.minimum(*shown)
    much = (common > 0) & (common >= SAME_OBJECT * least)
    union = areas[one] + areas[other] - common
    return np.column_stack([one, other])[much].astype(np.int64), (common / union)[much]


def _seen(version: Version, frame: WorkFrame) -> shapely.Polygon:
    """Return all that the tile of a version sees, level-0 pixels."""
    left, top, right, bottom = version.sees
    x, y = frame.scale_x, frame.scale_y
    return shapely.box(-left * x, -top * y, right * x, bottom * y)


def _join(
    versions: Sequence[Version],
    ready: Iterable[int],
    chosen: Set[int],
    pairs: Pairs,
    frame: WorkFrame,
) -> tuple[list[Version], int]:
    """Join what no chosen version rivals; return the whole objects, and how many are not whole."""
    rivalled = {i for pair in pairs.tolist() if not chosen.isdisjoint(pair) for i in pair}
    left = [i for i in ready if i not in rivalled and _is_partly_seen(versions[i])]
    among = pairs[np.isin(pairs, left).all(axis=1)]
    group = _groups(len(versions), among)
    members: dict[int, list[Version]] = defaultdict(list)
    for index in left:
        members[int(group[index])].append(versions[index])
    joined, lost = [], 0
    for parts in members.values():
        # A side of the object is missing where no tile sees farther than the one that is cut there.
        whole = np.max([v.sees for v in parts], axis=0) > np.max([v.cut for v in parts], axis=0)
        version = _joined(parts, frame)
        if whole.all() and version.is_owned:
            joined.append(version)
        elif any(v.is_owned and v.is_near for v in parts):
            lost += 1
    return joined, lost


def _is_partly_seen(version: Version) -> bool:
    """Return whether a tile has not seen all of an object, or saw it far from what is kept."""
    return not (version.is_whole and version.is_near)


def _joined(parts: Sequence[Version], frame: WorkFrame) -> Version:
    """Return one version of all that tiles have seen of an object; the largest names it."""
    largest = max(parts, key=lambda v: v.shape.polygon.area)
    together = shapely.union_all([v.shape.polygon for v in parts])
    polygon = max(polygon_parts(together), key=lambda part: part.area)
    x, y = polygon.centroid.x / frame.scale_x, polygon.centroid.y / frame.scale_y
    return replace(
        largest,
        shape=replace(
            largest.shape,
            polygon=polygon,
            area_px_work=round(polygon.area / (frame.scale_x * frame.scale_y)),
        ),
        centre=(x, y),
        is_owned=any(_holds(v.write, x, y) for v in parts),
        is_near=False,
    )


def _holds(box: WorkBox, x: float, y: float) -> bool:
    return box.x <= x < box.right and box.y <= y < box.bottom


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
    survivors = _pass_rivals(ranked, pairs[shared >= SAME_OBJECT])
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
