"""How well objects are found, one by one and type by type: sums that add up over tiles and slides.

A true object and its match count where the true object's centre lies, an object without a match
where its own does. So parts of a slide that are judged apart, each seen a little beyond its edge,
count every object once, and none is cut by an edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deeplab.evaluation.instances import Overlaps, PanopticSums

UNKNOWN: Final = 0  # label of an object whose type is not known
MOSTLY = (
    0.5  # share of a predicted object on ground that nobody judged, from which it is passed over
)

Instances = NDArray[np.int32]
Slices = tuple[slice, slice]
_SUMS: Final = len(PanopticSums().row)


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Objects of a piece of a slide.

    Attributes:
        instances: int32 (h, w); 0 is background, 1 to k the objects, each with a pixel or more.
        labels: uint8 (k,), the class of each, 1, 2, ...; UNKNOWN where it is not known.
    """

    instances: Instances
    labels: NDArray[np.uint8]

    @classmethod
    def of_rasters(cls, instances: Instances, labels: NDArray[np.uint8], class_count: int) -> Self:
        """Return the objects of two rasters (h, w), with any numbers from 1 on.

        The label of an object is that of its first pixel; one that is no class is not known.
        """
        numbers, first, place = np.unique(instances, return_index=True, return_inverse=True)
        has_background = int(numbers.size > 0 and numbers[0] == 0)
        of = labels.ravel()[first[has_background:]]
        renumbered = (place + (1 - has_background)).reshape(instances.shape).astype(np.int32)
        return cls(renumbered, np.where(of <= class_count, of, UNKNOWN).astype(np.uint8))

    def kept(self, chosen: NDArray[np.bool_]) -> Self:
        """Return some of the objects, `chosen` (k,), numbered anew."""
        numbers = np.zeros(len(chosen) + 1, np.int32)
        numbers[1:][chosen] = np.arange(1, np.count_nonzero(chosen) + 1)
        return type(self)(numbers[self.instances], self.labels[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTally:
    """Objects found, missed and mistyped; see `Tally`.

    Attributes:
        counts: float64 (classes + 1, sums + classes + 1). In row 0 the sums of all objects, in
            the others those of a class, whose objects are matched among themselves (as PanNuke's
            and CoNIC's figures); then how many objects of a true label (row) have a match of a
            predicted one (column), 0 is none. An object whose type is not known is in the sums
            of row 0 only.
    """

    counts: NDArray[np.float64]

    kind: ClassVar[str] = "objects"
    score_name: ClassVar[str] = "PQ"
    class_score_name: ClassVar[str] = "PQ"

    @classmethod
    def empty(cls, class_count: int) -> Self:
        """Return the counts of nothing."""
        return cls(np.zeros((class_count + 1, _SUMS + class_count + 1)))

    @classmethod
    def of(cls, counts: ArrayLike) -> Self:
        """Return the tally of counts that are known already.

        Raises:
            ValueError: they are not such counts.
        """
        taken = np.array(counts, np.float64)
        if taken.ndim != 2 or taken.shape[1] != _SUMS + taken.shape[0]:
            raise ValueError(f"counts of objects are {taken.shape}, not rows of labels")
        if not (np.isfinite(taken).all() and (taken >= 0).all()):
            raise ValueError("counts of objects are no numbers from 0 on")
        return cls(taken)

    def __add__(self, other: Self) -> Self:
        """Add the objects of another tally."""
        return self.of(self.counts + other.counts)

    @property
    def sums(self) -> tuple[PanopticSums, ...]:
        """Those of all objects, then those of each class."""
        return tuple(PanopticSums.of_row(row[:_SUMS]) for row in self.counts)

    @property
    def confused(self) -> NDArray[np.int64]:
        """How many objects of a true label (row) match one of a predicted (column), 0 is none."""
        return self.counts[:, _SUMS:].astype(np.int64)

    @property
    def score(self) -> float:
        """Mean PQ of the classes that occur (Kirillov 2019); of all objects where none is typed."""
        known = self.class_scores[~np.isnan(self.class_scores)]
        return float(known.mean()) if known.size else self.sums[0].panoptic_quality

    @property
    def class_scores(self) -> NDArray[np.float64]:
        """PQ of each class, float64 (classes,); NaN where it does not occur."""
        return np.array([each.panoptic_quality for each in self.sums[1:]], np.float64)

    @property
    def usual_figures(self) -> Mapping[str, NDArray[np.float64]]:
        """None: PQ is all that is usual."""
        return {}

    @property
    def class_amounts(self) -> NDArray[np.float64]:
        """Number of true objects of each class, (classes,)."""
        return self.counts[1:, 0]

    @property
    def error_share(self) -> float:
        """1 minus the score."""
        return 1 - self.score

    @property
    def commonest_error(self) -> tuple[int, int] | None:
        """True and predicted label of most errors, 0 for no object; None where there is none."""
        wrong = self.confused
        np.fill_diagonal(wrong, 0)
        if not wrong.any():
            return None
        truth, prediction = np.unravel_index(int(wrong.argmax()), wrong.shape)
        return int(truth), int(prediction)

    def figures(self, names: Sequence[str]) -> Mapping[str, float]:
        """Return the figures of a model's card by name; `names` are those of the classes."""
        every = self.sums[0]
        found = {
            "pq": self.score,
            "dq": every.detection_quality,
            "sq": every.segmentation_quality,
            "aji_plus": every.aji_plus,
        }
        return found | {f"pq {n}": float(v) for n, v in zip(names, self.class_scores, strict=True)}


def tally_objects(
    truth: Objects,
    prediction: Objects,
    *,
    class_count: int,
    unjudged: NDArray[np.bool_],
    parts: Sequence[Slices],
) -> list[ObjectTally]:
    """Judge the objects of a piece of a slide, and count them for each of its parts.

    Args:
        truth: of the piece, in which objects near the parts are whole.
        prediction: likewise.
        class_count: with one class every object is of it.
        unjudged: (h, w) where nobody knows whether there is an object.
        parts: rows and columns of the piece, without overlap.
    """
    on_unjudged = np.bincount(
        prediction.instances[unjudged], minlength=len(prediction.labels) + 1
    ) > MOSTLY * np.bincount(prediction.instances.ravel(), minlength=len(prediction.labels) + 1)
    prediction = prediction.kept(~on_unjudged[1:])
    if class_count == 1:
        truth, prediction = (
            Objects(each.instances, np.ones_like(each.labels)) for each in (truth, prediction)
        )
    places = [_part_of_each(side, parts) for side in (truth, prediction)]
    overlaps = Overlaps.of_maps(truth.instances, prediction.instances)
    matched = overlaps.match()
    first, second = overlaps.true_of_pair[matched], overlaps.predicted_of_pair[matched]
    true_labels, predicted_labels = truth.labels.astype(int), prediction.labels.astype(int)
    # What was taken for an object of no known type may be of any.
    is_open = np.zeros(len(predicted_labels), bool)
    is_open[second] = true_labels[first] == UNKNOWN
    counts = np.zeros((len(parts), class_count + 1, _SUMS + class_count + 1))
    counts[:, 0, :_SUMS] = _sums(overlaps, len(parts), *places)
    for label in range(1, class_count + 1):
        chosen = (true_labels == label), (predicted_labels == label) & ~is_open
        some = overlaps.select(*chosen)
        own = (place[kept] for place, kept in zip(places, chosen, strict=True))
        counts[:, label, :_SUMS] = _sums(some, len(parts), *own)
    alone = [
        np.delete(np.arange(len(labels)), paired)
        for labels, paired in ((true_labels, first), (predicted_labels, second))
    ]
    nothing = [np.zeros(len(some), int) for some in alone]
    # Pairs, then what is missed, then what is found where nothing is.
    rows = np.concatenate([true_labels[first], true_labels[alone[0]], nothing[1]])
    columns = np.concatenate([predicted_labels[second], nothing[0], predicted_labels[alone[1]]])
    part = np.concatenate([places[0][first], places[0][alone[0]], places[1][alone[1]]])
    is_typed = np.ones(len(rows), bool)
    is_typed[: len(first)] = (rows[: len(first)] != UNKNOWN) & (columns[: len(first)] != UNKNOWN)
    is_typed[len(first) :] = (rows + columns)[len(first) :] != UNKNOWN
    counted = is_typed & (part >= 0)
    np.add.at(counts, (part[counted], rows[counted], _SUMS + columns[counted]), 1)
    return [ObjectTally(each) for each in counts]


def _part_of_each(side: Objects, parts: Sequence[Slices]) -> NDArray[np.intp]:
    """Return the part in which the centre of each object lies, (k,); -1 where in none."""
    rows, columns = np.nonzero(side.instances)
    of, count = side.instances[rows, columns], len(side.labels)
    pixels = np.bincount(of, minlength=count + 1)[1:]
    y, x = (np.bincount(of, at, count + 1)[1:] / pixels + 0.5 for at in (rows, columns))
    found = np.full(count, -1, np.intp)
    for number, (down, across) in enumerate(parts):
        inside = (down.start <= y) & (y < down.stop) & (across.start <= x) & (x < across.stop)
        found[inside] = number
    return found


def _sums(
    overlaps: Overlaps,
    parts: int,
    true_places: NDArray[np.intp],
    predicted_places: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return the sums of each part, float64 (parts, sums), see `PanopticSums`."""

    def by_part(places: NDArray[np.intp], amounts: ArrayLike = 1.0) -> NDArray[np.float64]:
        weights = np.broadcast_to(np.asarray(amounts, np.float64), places.shape)
        return np.asarray(np.bincount(places + 1, weights, parts + 1)[1:], np.float64)

    def with_partners(pairs: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where predicted objects count: with their true partner, or where they lie."""
        places = predicted_places.copy()
        places[overlaps.predicted_of_pair[pairs]] = true_places[overlaps.true_of_pair[pairs]]
        return places

    matched, pairs = overlaps.match(), overlaps.match(min_iou=0)
    of_matched, of_pairs = (true_places[overlaps.true_of_pair[each]] for each in (matched, pairs))
    shared = by_part(of_pairs, overlaps.shared_areas[pairs])
    true_area = by_part(true_places, overlaps.true_areas)
    predicted_area = by_part(with_partners(pairs), overlaps.predicted_areas)
    return np.column_stack(
        [
            by_part(true_places),
            by_part(with_partners(matched)),
            by_part(of_matched),
            by_part(of_matched, overlaps.iou[matched]),
            shared,
            true_area + predicted_area - shared,
        ]
    )
