"""Figures of nuclei as HoVer-Net's program computes them, for papers that compare with it.

Ours (`instances`, `type_confusion`) are defined for every empty case and add up over slides. These
differ in small ways that change a published digit: SQ has 1e-6 below the line, pairs below an IoU
of 0.5 and pairs of centroids are chosen before those that are too far apart are dropped, and an
image without a nucleus counts as one nucleus at its corner. Where the program ends in an error,
these are NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from deeplab.evaluation.instances import Numbers, Overlaps, Points, compare_objects
from deeplab.evaluation.type_confusion import Types

NO_DIVISION_BY_0 = 1e-6  # of its SQ
RADIUS_PX = 12.0  # at 0.25 um per pixel
NOT_TYPED = -1  # in a truth that is not exhaustive
Nuclei = tuple[Points, Types]


@dataclass(frozen=True, slots=True)
class OriginalFigures:
    """One image; `dice_2` is the Dice of all pairs that meet, which is rarely meant by Dice."""

    dice: float
    dice_2: float
    aji: float
    aji_plus: float
    detection_quality: float
    segmentation_quality: float

    @property
    def panoptic_quality(self) -> float:
        """PQ = DQ times SQ."""
        return self.detection_quality * self.segmentation_quality

    @property
    def of_matches(self) -> tuple[float, float, float]:
        """DQ, SQ and PQ."""
        return self.detection_quality, self.segmentation_quality, self.panoptic_quality


def original_figures(overlaps: Overlaps, min_iou: float = 0.5) -> OriginalFigures:
    """Compare the nuclei of one image as `compute_stats.py` does.

    Args:
        overlaps: of two maps of nuclei.
        min_iou: above which a pair is a match.
    """
    ours = compare_objects(overlaps, min_iou)
    count = ours.true_objects + ours.predicted_objects
    area = ours.true_area + ours.predicted_area
    iou = overlaps.iou[_match(overlaps, min_iou)]
    of_both = overlaps.true_areas[overlaps.true_of_pair].sum()
    of_both += overlaps.predicted_areas[overlaps.predicted_of_pair].sum()
    return OriginalFigures(
        dice=_ratio(2 * overlaps.shared_areas.sum(), area),
        dice_2=_ratio(2 * overlaps.shared_areas.sum(), of_both),
        aji=ours.aji if ours.predicted_objects else float("nan"),
        aji_plus=ours.aji_plus,
        detection_quality=_ratio(len(iou), count / 2),
        segmentation_quality=_ratio(iou.sum(), bool(count) * (len(iou) + NO_DIVISION_BY_0)),
    )


def original_type_figures(
    images: Iterable[tuple[Nuclei, Nuclei]],
    types: Sequence[int] | None = None,
    *,
    exhaustive: bool = True,
) -> tuple[float, float, list[float]]:
    """Pool the detection and typing of some images as `run_nuclei_type_stat` does.

    Args:
        images: true and predicted nuclei of each: centroids in pixels (nuclei, 2) and types.
        types: of which a figure is asked for; None: all that the truth has, in their order.
        exhaustive: False: true nuclei of type -1 have none, and pairs with them no right one.

    Returns:
        F_d, the share of pairs whose types agree, and F_c of each type.
    """
    rows = [_pairs_of_types(_with_some(true), _with_some(predicted)) for true, predicted in images]
    true, predicted = np.concatenate([np.zeros((0, 2), np.intp), *rows]).T
    if types is None:
        types = np.unique(true[true != _ALONE]).tolist()
    paired = (true != _ALONE) & (predicted != _ALONE)
    ignored = 0 if exhaustive else int((paired & (true == NOT_TYPED)).sum())
    agreed = int((paired & (true == predicted)).sum())
    found = 2 * paired.sum()
    f_c = []
    for each in types:
        right = int((paired & (true == each) & (predicted == each)).sum())
        of_type = (true == each) | (predicted == each)
        wrong = int((paired & of_type).sum()) - right
        if not exhaustive:
            wrong -= int((paired & of_type & (true == NOT_TYPED)).sum())
        alone = int((~paired & of_type).sum())
        f_c.append(_ratio(2 * right, 2 * right + 2 * wrong + alone))
    accuracy = _ratio(agreed, int(paired.sum()) - ignored)
    return _ratio(found, found + (~paired).sum()), accuracy, f_c


_ALONE = np.iinfo(np.intp).min  # in the place of the type of a partner that is not there


def _pairs_of_types(true: Nuclei, predicted: Nuclei) -> NDArray[np.intp]:
    """Types of both nuclei of each pair, then of those alone, intp (rows, 2)."""
    distances = cdist(true[0], predicted[0])
    first, second = linear_sum_assignment(distances)
    near = distances[first, second] <= RADIUS_PX
    first, second = first[near], second[near]
    pairs = [
        (true[1][first], predicted[1][second]),
        (np.delete(true[1], first), np.full(len(true[1]) - len(first), _ALONE)),
        (np.full(len(predicted[1]) - len(second), _ALONE), np.delete(predicted[1], second)),
    ]
    return np.concatenate([np.column_stack(each) for each in pairs]).astype(np.intp)


def _with_some(nuclei: Nuclei) -> Nuclei:
    """Nuclei as they are; of none one at the corner, of type 0."""
    return nuclei if len(nuclei[0]) else (np.zeros((1, 2)), np.zeros(1, np.intp))


def _match(overlaps: Overlaps, min_iou: float) -> Numbers:
    """Pairs above an IoU; below 0.5 of the pairs of largest IoU in total, not of those above."""
    pairs = overlaps.match(min_iou if min_iou >= 0.5 else 0.0)
    return np.asarray(pairs[overlaps.iou[pairs] > min_iou])


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
