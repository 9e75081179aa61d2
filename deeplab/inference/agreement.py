"""How well another runtime answers as TensorFlow does, by the kind of answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.models.answers import Answer, AnswerKind, ObjectAnswer
from deeplab.models.family import Maps
from deeplab.models.outputs import LABELS

# Share of equal labels on the trial below which another runtime's rounding is not accepted. Slides
# then agree by 0.998: the worst of 21 pictures was 0.0009 below the trial.
AGREE = 0.999
# Share of objects on the trial that the other runtime finds, too, outlined alike. A nucleus in two
# hundred may be parted or joined by rounding, as it may by another place of the tile.
AGREE_OBJECTS = 0.995
ALIKE = 0.9  # IoU

Decode = Callable[[Maps], Answer]
Batch = Mapping[str, NDArray[Any]]  # maps of tiles, (n, ...)


class Agreement(NamedTuple):
    """The share of something that two runtimes answer alike, and what is asked for."""

    share: float
    least: float
    of: str


class Comparison(NamedTuple):
    """What one kind of answer is compared by.

    Attributes:
        labels: maps of n tiles to what each pixel is, uint8 (n, h, w); 0 is nothing.
        agreements: TensorFlow's maps and another's to the shares that are alike.
    """

    labels: Callable[[Batch, Decode], NDArray[np.uint8]]
    agreements: Callable[[Batch, Batch, Decode], Sequence[Agreement]]


def _graph_labels(maps: Batch, _decode: Decode) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = maps[LABELS]
    return labels


def _label_agreements(wanted: Batch, found: Batch, _decode: Decode) -> list[Agreement]:
    return [_share_of_labels(wanted[LABELS], found[LABELS])]


def _object_labels(maps: Batch, decode: Decode) -> NDArray[np.uint8]:
    return np.stack([_painted(answer) for answer in _decoded(maps, decode)])


def _object_agreements(wanted: Batch, found: Batch, decode: Decode) -> list[Agreement]:
    reference, other = _decoded(wanted, decode), _decoded(found, decode)
    alike = sum(map(_count_alike, reference, other))
    most = sum(max(len(a.labels), len(b.labels)) for a, b in zip(reference, other, strict=True))
    painted = (np.stack([_painted(answer) for answer in each]) for each in (reference, other))
    return [
        _share_of_labels(*painted),
        Agreement(alike / most if most else 1.0, AGREE_OBJECTS, "objects"),
    ]


def _share_of_labels(wanted: NDArray[np.uint8], found: NDArray[np.uint8]) -> Agreement:
    return Agreement(float(np.mean(found == wanted)), AGREE, "labels")


def _decoded(maps: Batch, decode: Decode) -> list[ObjectAnswer]:
    count = len(next(iter(maps.values())))
    answers = (decode({name: each[i] for name, each in maps.items()}) for i in range(count))
    return [answer for answer in answers if isinstance(answer, ObjectAnswer)]


def _painted(answer: ObjectAnswer) -> NDArray[np.uint8]:
    """The labels of a tile, uint8 (h, w): 0 is no object, 1 one of no type, 2 the first type."""
    values = np.concatenate([[0], answer.labels.astype(np.uint8) + 1]).astype(np.uint8)
    painted: NDArray[np.uint8] = values[answer.instances]
    return painted


def _count_alike(one: ObjectAnswer, other: ObjectAnswer) -> int:
    """The number of objects of two answers for a tile that are outlined alike in both."""
    counts = (len(one.labels) + 1, len(other.labels) + 1)
    pairs = one.instances.astype(np.int64) * counts[1] + other.instances
    common = np.bincount(pairs.ravel(), minlength=counts[0] * counts[1]).reshape(counts)
    union = common.sum(axis=1, keepdims=True) + common.sum(axis=0, keepdims=True) - common
    return int(np.count_nonzero(common[1:, 1:] >= ALIKE * union[1:, 1:]))


COMPARISONS: Final[Mapping[AnswerKind, Comparison]] = {
    "labels": Comparison(_graph_labels, _label_agreements),
    "objects": Comparison(_object_labels, _object_agreements),
}
