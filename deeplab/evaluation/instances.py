"""How well predicted objects agree with the true ones, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from deeplab.evaluation.pairing import choose_pairs
from deeplab.geometry.frames import Mpp

Labels = NDArray[np.int32]  # (height, width): the number of the object, 0 is background
Numbers = NDArray[np.intp]  # (pairs,): which object of a side
Areas = NDArray[np.float64]
Points = NDArray[np.float64]  # (objects, 2): x and y, um
Pairs = NDArray[np.intp]  # (pairs, 2): the true and the predicted object of each


@dataclass(frozen=True, slots=True)
class Overlaps:
    """Areas of the objects of both sides, and of each true and predicted object that meet.

    One unit for all areas: pixels of a map, or square pixels of polygons.
    """

    true_areas: Areas
    predicted_areas: Areas
    true_of_pair: Numbers
    predicted_of_pair: Numbers
    shared_areas: Areas

    @classmethod
    def of_maps(cls, truth: Labels, prediction: Labels) -> Self:
        """Return the overlaps of two maps of one shape, objects in the order of their numbers.

        Raises:
            ValueError: the shapes differ or a number is below 0.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f"maps of different shapes: {truth.shape} and {prediction.shape}")
        taken = (truth != 0) | (prediction != 0)
        true, predicted = truth[taken].astype(np.int64), prediction[taken].astype(np.int64)
        if (true < 0).any() or (predicted < 0).any():
            raise ValueError("numbers of objects begin at 1, and one is below 0")
        found, pixels = _count_runs(true << 32 | predicted)
        true, predicted = found >> 32, found & 0xFFFFFFFF
        true_areas, true_rank = _areas_by_number(true, pixels)
        predicted_areas, predicted_rank = _areas_by_number(predicted, pixels)
        both = (true > 0) & (predicted > 0)
        return cls(
            true_areas,
            predicted_areas,
            true_rank[both],
            predicted_rank[both],
            pixels[both],
        )

    @classmethod
    def of_polygons(
        cls, truth: Sequence[shapely.Geometry], prediction: Sequence[shapely.Geometry]
    ) -> Self:
        """Return the overlaps of valid polygons, objects in their order; no map is drawn."""
        true, predicted = np.asarray(truth, object), np.asarray(prediction, object)
        first, second = shapely.STRtree(predicted).query(true, predicate="intersects")
        shared = shapely.area(shapely.intersection(true[first], predicted[second]))
        kept = shared > 0  # neighbours that only touch share no area
        return cls(
            shapely.area(true).astype(np.float64),
            shapely.area(predicted).astype(np.float64),
            first[kept],
            second[kept],
            shared[kept],
        )

    @property
    def union_areas(self) -> Areas:
        """What the two objects of each pair cover together."""
        return self._areas_of_both - self.shared_areas

    @property
    def iou(self) -> Areas:
        """Intersection over union of each pair."""
        return self.shared_areas / self.union_areas

    @property
    def dice(self) -> Areas:
        """Dice of each pair."""
        return 2 * self.shared_areas / self._areas_of_both

    def match(self, min_iou: float = 0.5) -> Numbers:
        """Positions of the pairs above an IoU, each object in one at most.

        From 0.5 on, and where objects of one side lie apart, no choice is left (Kirillov 2019).
        Elsewhere the pairs are those of the largest IoU in total.
        """
        above = np.flatnonzero(self.iou > min_iou)
        first, second = self.true_of_pair[above], self.predicted_of_pair[above]
        return np.asarray(above[choose_pairs(first, second, 1 - self.iou[above], 1.0)])

    def select(self, true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Self:
        """Return the overlaps of some objects: which of the true and of the predicted ones."""
        kept = true[self.true_of_pair] & predicted[self.predicted_of_pair]
        # The place of each object among those of its side that are chosen.
        true_rank, predicted_rank = np.cumsum(true) - 1, np.cumsum(predicted) - 1
        return type(self)(
            self.true_areas[true],
            self.predicted_areas[predicted],
            true_rank[self.true_of_pair[kept]],
            predicted_rank[self.predicted_of_pair[kept]],
            self.shared_areas[kept],
        )

    @property
    def _areas_of_both(self) -> Areas:
        return np.asarray(
            self.true_areas[self.true_of_pair] + self.predicted_areas[self.predicted_of_pair]
        )


@dataclass(frozen=True, slots=True)
class Detection:
    """How many objects there are and how many found; those of two slides add up."""

    true_objects: int = 0
    predicted_objects: int = 0
    matched: int = 0

    def __add__(self, other: Self) -> Self:
        """The objects of both."""
        sums = (a + b for a, b in zip(astuple(self), astuple(other), strict=True))
        return type(self)(*sums)

    @property
    def row(self) -> Areas:
        """All sums in their order, to be added up in tables."""
        return np.array(astuple(self), np.float64)

    @classmethod
    def of_row(cls, row: Areas) -> Self:
        """Return what such a row, or a sum of rows, stands for."""
        return cls(*row.tolist())

    @property
    def precision(self) -> float:
        """Of the predicted objects, the share that is right; NaN where none is predicted."""
        return _ratio(self.matched, self.predicted_objects)

    @property
    def recall(self) -> float:
        """Of the true objects, the share that is found; NaN where there is none."""
        return _ratio(self.matched, self.true_objects)

    @property
    def f1(self) -> float:
        """Matched over the mean of both numbers; NaN where there is no object at all."""
        return _ratio(2 * self.matched, self.true_objects + self.predicted_objects)


@dataclass(frozen=True, slots=True)
class PanopticSums(Detection):
    """Sums that PQ and AJI+ are made of; those of two slides add up."""

    matched_iou: float = 0.0
    aji_plus_shared: float = 0.0
    aji_plus_union: float = 0.0

    @property
    def detection_quality(self) -> float:
        """DQ = TP / (TP + FP/2 + FN/2), which is F1 (Kirillov 2019)."""
        return self.f1

    @property
    def segmentation_quality(self) -> float:
        """SQ: mean IoU of the matched pairs; NaN where there is none."""
        return _ratio(self.matched_iou, self.matched)

    @property
    def panoptic_quality(self) -> float:
        """PQ = DQ times SQ: 0 where none is matched, NaN where there is no object at all."""
        return _ratio(2 * self.matched_iou, self.true_objects + self.predicted_objects)

    @property
    def pannuke_quality(self) -> float:
        """PQ as PanNuke counts it: NaN also where no true object is (Gamper 2020)."""
        return self.panoptic_quality if self.true_objects else float("nan")

    @property
    def aji_plus(self) -> float:
        """AJI with each object in one pair at most (Graham 2019); NaN as `aji`."""
        return _ratio(self.aji_plus_shared, self.aji_plus_union)


@dataclass(frozen=True, slots=True)
class InstanceSums(PanopticSums):
    """Sums that every figure of objects is made of; those of two slides add up."""

    aji_shared: float = 0.0
    aji_union: float = 0.0
    true_area: float = 0.0
    predicted_area: float = 0.0
    true_area_by_dice: float = 0.0
    predicted_area_by_dice: float = 0.0

    @property
    def aji(self) -> float:
        """Aggregated Jaccard index (Kumar 2017); NaN where there is no object at all."""
        return _ratio(self.aji_shared, self.aji_union)

    @property
    def object_dice(self) -> float:
        """Dice of every object with the one that it shares most with, by area, of both sides.

        0 where one side has no object, NaN where neither has (Sirinukunwattana 2017).
        """
        if not (self.true_area and self.predicted_area):
            return 0.0 if self.true_area or self.predicted_area else float("nan")
        of_truth = self.true_area_by_dice / self.true_area
        return (of_truth + self.predicted_area_by_dice / self.predicted_area) / 2


def compare_objects(overlaps: Overlaps, min_iou: float = 0.5) -> InstanceSums:
    """Return the agreement of the objects of one slide; a match is a pair above `min_iou`."""
    matched = overlaps.match(min_iou)
    true_area, predicted_area = overlaps.true_areas.sum(), overlaps.predicted_areas.sum()
    aji_shared, aji_union = _aji(overlaps)
    pairs = overlaps.match(min_iou=0)
    plus_shared = overlaps.shared_areas[pairs].sum()
    return InstanceSums(
        true_objects=len(overlaps.true_areas),
        predicted_objects=len(overlaps.predicted_areas),
        matched=len(matched),
        matched_iou=float(overlaps.iou[matched].sum()),
        aji_shared=aji_shared,
        aji_union=aji_union,
        aji_plus_shared=float(plus_shared),
        aji_plus_union=float(true_area + predicted_area - plus_shared),
        true_area=float(true_area),
        predicted_area=float(predicted_area),
        true_area_by_dice=_area_by_dice(overlaps, overlaps.true_of_pair, overlaps.true_areas),
        predicted_area_by_dice=_area_by_dice(
            overlaps, overlaps.predicted_of_pair, overlaps.predicted_areas
        ),
    )


def mean_quality(by_class: Sequence[InstanceSums]) -> float:
    """mPQ: the mean over classes of PQ; those without a true object are left out (Gamper 2020)."""
    known = [each.pannuke_quality for each in by_class if each.true_objects]
    return sum(known) / len(known) if known else float("nan")


def centroids_um(labels: Labels, mpp: Mpp) -> Points:
    """Return the middle of each object of a map, in the order of their numbers."""
    y, x = np.nonzero(labels)
    _, rank, pixels = np.unique(labels[y, x], return_inverse=True, return_counts=True)
    sums = [np.bincount(rank, at + 0.5, minlength=len(pixels)) for at in (x, y)]
    return np.column_stack(sums) / pixels[:, None] * (mpp.x, mpp.y)


def pair_centroids(true_um: Points, predicted_um: Points, radius_um: float) -> Pairs:
    """Pair as many centroids within a radius as there can be, of these the nearest in total.

    Returns:
        intp (pairs, 2): places of the true and the predicted object of each pair.
    """
    true_count, predicted_count = len(true_um), len(predicted_um)
    if not (true_count and predicted_count):
        return np.zeros((0, 2), np.intp)
    near = cKDTree(true_um).sparse_distance_matrix(
        cKDTree(predicted_um), radius_um, output_type="ndarray"
    )
    # To be alone costs more than moving every pair: the number of pairs comes first.
    cost_alone = radius_um * (min(true_count, predicted_count) + 1)
    chosen = choose_pairs(near["i"], near["j"], near["v"], cost_alone)
    return np.column_stack([near["i"][chosen], near["j"][chosen]])


def compare_centroids(true_um: Points, predicted_um: Points, radius_um: float) -> Detection:
    """Count the pairs of `pair_centroids`; their F1 is F_d of Graham 2019, within 12 pixels."""
    pairs = pair_centroids(true_um, predicted_um, radius_um)
    return Detection(len(true_um), len(predicted_um), len(pairs))


def _count_runs(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], Areas]:
    """Each value and how often it occurs; a row of an object is sorted once, not pixel by pixel."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=values.size)
    found, rank = np.unique(values[starts], return_inverse=True)
    return found, np.asarray(np.bincount(rank, lengths, minlength=found.size), np.float64)


def _areas_by_number(numbers: NDArray[np.int64], pixels: Areas) -> tuple[Areas, NDArray[np.intp]]:
    """Area of each number but 0, and for each entry the place of its number among them."""
    known, rank = np.unique(numbers, return_inverse=True)
    areas = np.asarray(np.bincount(rank, pixels, minlength=len(known)), np.float64)
    has_background = int(known.size > 0 and known[0] == 0)
    return areas[has_background:], rank - has_background


def _best(of_pair: Numbers, *merits: Areas) -> Numbers:
    """For each object that is in a pair the position of its best; the first of equals."""
    order = np.lexsort([*(-merit for merit in reversed(merits)), of_pair])
    sorted_objects = of_pair[order]
    is_first = np.diff(sorted_objects, prepend=-1) != 0
    return np.asarray(order[is_first])


def _aji(overlaps: Overlaps) -> tuple[float, float]:
    """Shared and united area: every true object with its best, which may serve more than once."""
    best = _best(overlaps.true_of_pair, overlaps.iou)
    true_alone = np.delete(overlaps.true_areas, overlaps.true_of_pair[best])
    predicted_alone = np.delete(overlaps.predicted_areas, overlaps.predicted_of_pair[best])
    union = overlaps.union_areas[best].sum() + true_alone.sum() + predicted_alone.sum()
    return float(overlaps.shared_areas[best].sum()), float(union)


def _area_by_dice(overlaps: Overlaps, of_pair: Numbers, areas: Areas) -> float:
    best = _best(of_pair, overlaps.shared_areas, overlaps.dice)
    return float((areas[of_pair[best]] * overlaps.dice[best]).sum())


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
