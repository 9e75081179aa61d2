"""Outlines that cross themselves made valid: what was drawn as one stays one object.

A hand closes an outline a hair too far, and programs round corners to hundredths of a pixel. What
such an outline encloses falls into one area and specks beside it. The specks go; what is of a size
stays, as parts of the one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Area, polygon_parts
from deeplab.report.words import counted

LEAST = 1.0  # level-0 pixels, of a part: smaller than a pixel, or thinner, it shows nothing
# What crossing leaves beside the rest is a slip of the hand up to here: ten pixels are 2.5 um at
# 40x and 5 um at 20x, less than any nucleus, and a hundredth of an area moves no figure of it.
SLIP_WIDTH = 10.0  # level-0 pixels
SLIP_SHARE = 0.01  # of the object's area
# An outline drawn eight times round itself meets itself four times at each of its points. To mend
# one takes time and memory with the places where it does, not with its points.
MEETINGS_PER_POINT = 4
MEETINGS_OF_ANY = 1000
# Segments whose boxes meet are looked at one pair after the other.
PAIRS_PER_POINT = 32
PAIRS_OF_ANY = 1 << 22
PAIRS_AT_ONCE = 1 << 20
FIRST = 8  # segments, looked at before it is known how many lie about each
MANY_POINTS = 1000  # fewer cannot meet in one corner often enough to matter

ENCLOSES_NOTHING = "outline that encloses nothing"
CUT_OUT_WHOLE = "shape cut out as a whole"
TANGLED = "crosses or touches itself too often to be mended"

Polygons = NDArray[np.object_]  # of shapely.Polygon, (n,)
Segments = NDArray[np.object_]  # of shapely.LineString with two ends, (n,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What became of one drawn object.

    Attributes:
        area: a valid one; None where nothing is left of it.
        refusal: why nothing is left of it.
        crossed: whether an outline or a hole of it crossed itself or another.
        slivers: number of its parts and holes that were too small to be kept.
        sliver_area: of these together, square level-0 pixels.
    """

    area: Area | None
    refusal: str = ""
    crossed: bool = False
    slivers: int = 0
    sliver_area: float = 0.0

    def then(self, later: Mended) -> Mended:
        """Return what became of it when something was done to it once more."""
        return replace(
            later,
            crossed=self.crossed or later.crossed,
            slivers=self.slivers + later.slivers,
            sliver_area=self.sliver_area + later.sliver_area,
        )


class MendingTally:
    """Counts what was mended, for one sentence about a whole file."""

    def __init__(self) -> None:
        self._crossed = self._parted = self._slivers = 0
        self._sliver_area = 0.0

    def add(self, mended: Mended) -> None:
        """Count one more object that is kept."""
        self._crossed += mended.crossed
        self._parted += mended.crossed and isinstance(mended.area, shapely.MultiPolygon)
        self._slivers += mended.slivers
        self._sliver_area += mended.sliver_area

    def sentence(self) -> str:
        """Return "2 outlines crossed themselves and were mended; ...", "" where nothing was."""
        said = []
        if self._crossed:
            who = "itself and was" if self._crossed == 1 else "themselves and were"
            said.append(f"{counted(self._crossed, 'outline')} crossed {who} mended")
        if self._parted:
            said.append(f"{self._parted:,} of them fell into parts, which stay one object")
        if self._slivers:
            area = self._sliver_area
            size = f"{area:,.0f}" if area >= 10 else f"{area:.1g}"
            said.append(f"{counted(self._slivers, 'sliver')} of {size} px² in all left out")
        return "; ".join(said)


def mend(drawn: Area) -> Mended:
    """Return the valid area of one object that was drawn as one outline, or as several.

    What lies within an outline belongs to the object, however often it goes round; its outlines are
    put together, holes are cut out. A part is a sliver if it is smaller than a pixel or, in the
    mean, narrower than one; of what had to be mended also if it has less than a hundredth of the
    object's area and is narrower than ten pixels. Slivers go, but the largest part always stays.
    The mean width is four times the area over the length of the outline: a disc's diameter.
    """
    if _share_too_many_corners(drawn):
        return Mended(area=None, refusal=TANGLED)
    if drawn.is_valid:
        if isinstance(drawn, shapely.Polygon) and drawn.area > 0:
            return Mended(area=drawn)
        return _without_slivers(drawn, is_mended=False)
    if is_tangled(drawn):
        return Mended(area=None, refusal=TANGLED)
    polygons = shapely.get_parts(drawn)
    broken = ~shapely.is_valid(polygons)
    if not broken.any():  # outlines that share a side or lie over each other
        return _without_slivers(join(polygons), is_mended=False)
    pieces = [_mend_polygon(each) for each in polygons[broken]]
    whole = join(np.concatenate([polygons[~broken], *(_parts(piece.area) for piece in pieces)]))
    found = _without_slivers(whole, is_mended=True)
    for piece in pieces:
        found = piece.then(found)
    return replace(found, crossed=True)


def enclosed(points: Sequence[tuple[float, float]]) -> Area:
    """Return what a region encloses that may cross itself; an empty area where that is nothing."""
    return mend(shapely.Polygon(points)).area or shapely.Polygon()


def join(polygons: Polygons) -> shapely.Geometry:
    """Return what valid polygons cover together; those that meet nowhere stay as they are."""
    if len(polygons) == 1:
        return polygons[0]
    whole = shapely.multipolygons(polygons)
    return whole if whole.is_valid else shapely.disjoint_subset_union_all(polygons)


def tangled(drawn: Area) -> str:
    """Return what is wrong with an outline that `mend` refuses as tangled, and where it is."""
    x, y, _, _ = drawn.bounds
    count = shapely.get_num_coordinates(drawn)
    return f"an outline of {count:,} points, from x {x:.0f}, y {y:.0f} on, {TANGLED}"


def cut_out(area: Area, hole: shapely.Geometry) -> Mended:
    """Return what one valid area leaves of another, as one object without slivers."""
    left = _without_slivers(shapely.difference(area, hole), is_mended=True)
    return left if left.area else replace(left, refusal=CUT_OUT_WHOLE)


def is_tangled(area: Area) -> bool:
    """Return whether outlines meet so often that to mend them would take time with its square."""
    segments = _segments(area)
    count = len(segments)
    most = MEETINGS_PER_POINT * count + MEETINGS_OF_ANY
    if count * (count - 1) // 2 <= most:
        return False
    tree = shapely.STRtree(segments)
    if not _pairs_exceed(most, segments, tree):
        return False  # so few have boxes that meet
    near = PAIRS_PER_POINT * count + PAIRS_OF_ANY
    return _pairs_exceed(near, segments, tree) or _pairs_exceed(most, segments, tree, "intersects")


def _pairs_exceed(
    most: int,
    segments: Segments,
    tree: shapely.STRtree,
    predicate: Literal["intersects"] | None = None,
) -> bool:
    """Return whether more pairs of segments than `most` meet, or their boxes without a predicate.

    They are gone through in a random order, so that where they are many the first of them tell.
    """
    count = len(segments)
    order = np.random.default_rng(0).permutation(count)
    # Of one segment that crosses all others no more is taken for the rule than this.
    usual = most / count
    begin, step, met, ruled = 0, FIRST, 0, 0.0
    while begin < count:
        some = segments[order[begin : begin + step]]
        asked, _ = tree.query(some, predicate=predicate)
        # Each meets itself and its two neighbours; every other pair is met from both ends.
        times = np.bincount(asked, minlength=len(some)) - 3
        met += int(times.sum())
        ruled += float(np.clip(times, 0, 16 * usual).sum())
        begin += len(some)
        if met > 2 * most or (begin >= 4 * FIRST and ruled > 8 * usual * begin):
            return True
        step = min(2 * step, 1 + PAIRS_AT_ONCE * begin // (met + 3 * begin))
    return False


def _segments(area: Area) -> Segments:
    rings = shapely.get_rings(shapely.get_parts(area))
    points, ring = shapely.get_coordinates(rings, return_index=True)
    follows = (ring[1:] == ring[:-1]) & (points[1:] != points[:-1]).any(axis=1)
    ends = np.stack([points[:-1][follows], points[1:][follows]], axis=1)
    return np.asarray(shapely.linestrings(ends), object)


def _share_too_many_corners(area: Area) -> bool:
    """Return whether so many points are one corner that to check the area would take too long."""
    points = shapely.get_coordinates(area)
    if len(points) <= MANY_POINTS:
        return False
    _, times = np.unique(points[:, 0] + 1j * points[:, 1], return_counts=True)
    most = MEETINGS_PER_POINT * len(points) + MEETINGS_OF_ANY
    return int((times.astype(np.int64) * (times - 1)).sum()) // 2 > most


def _mend_polygon(polygon: shapely.Polygon) -> Mended:
    """Return the valid area of an outline and its holes, each of which may cross any other."""
    rings = shapely.polygons(shapely.get_rings(polygon))
    broken = ~shapely.is_valid(rings)
    # "structure" takes all that a ring goes round, once or more; in the other way of doing it what
    # it goes round twice would be outside.
    rings[broken] = shapely.make_valid(rings[broken], method="structure", keep_collapsed=False)
    if len(rings) == 1:
        return Mended(area=rings[0])
    holes = [_without_slivers(hole, is_mended=True) for hole in rings[1:][broken[1:]]]
    kept = np.concatenate([rings[1:][~broken[1:]], *(_parts(hole.area) for hole in holes)])
    return Mended(
        area=shapely.difference(rings[0], join(kept)) if len(kept) else rings[0],
        slivers=sum(hole.slivers for hole in holes),
        sliver_area=sum(hole.sliver_area for hole in holes),
    )


def _without_slivers(area: shapely.Geometry, *, is_mended: bool) -> Mended:
    """Return the parts of a valid geometry that are of a size, and those of its holes."""
    parts = _parts(area)
    if not len(parts):
        return Mended(area=None, refusal=ENCLOSES_NOTHING)
    sizes, widths = _measure(parts)
    goes = (sizes < LEAST) | (widths < LEAST)
    if is_mended:
        goes |= (sizes < SLIP_SHARE * sizes.sum()) & (widths < SLIP_WIDTH)
    goes[sizes.argmax()] = False
    kept = parts[~goes]
    filled, hole_count, hole_area = _fill_slivers(kept) if is_mended else (kept, 0, 0.0)
    return Mended(
        area=filled[0] if len(filled) == 1 else shapely.multipolygons(filled),
        slivers=int(goes.sum()) + hole_count,
        sliver_area=float(sizes[goes].sum()) + hole_area,
    )


def _fill_slivers(polygons: Polygons) -> tuple[Polygons, int, float]:
    """Return polygons without the holes that are slivers, and the number and area of these."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    sizes, widths = _measure(shapely.polygons(rings))
    is_hole = np.diff(owner, prepend=-1) == 0
    goes = is_hole & ((sizes < LEAST) | (widths < LEAST))
    filled = polygons.copy()
    for place in np.unique(owner[goes]):
        own = owner == place
        outline = rings[own & ~is_hole][0]
        filled[place] = shapely.polygons(outline, rings[own & is_hole & ~goes])
    return filled, int(goes.sum()), float(sizes[goes].sum())


def _measure(polygons: Polygons) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return areas and mean widths of polygons; holes make none of them narrower."""
    outlines = shapely.get_exterior_ring(polygons)
    filled = shapely.area(shapely.polygons(outlines))
    return shapely.area(polygons), 4 * filled / shapely.length(outlines)


def _parts(area: shapely.Geometry | None) -> Polygons:
    parts = polygon_parts(area) if area else []
    return np.array([*parts, None], object)[:-1]
