"""How well another runtime answers as TensorFlow does, by the kind of answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.models.answers import Answer, AnswerKind, Maps, ObjectAnswer, PatchAnswer
from deeplab.models.outputs import LABELS

# Share of equal labels on the trial below which another runtime's rounding is not accepted. Slides
# then agree by 0.998: the worst of 21 pictures was 0.0009 below the trial.
AGREE = 0.999
# Of a network that finds objects: the share of equal labels, and of objects on the trial that the
# other runtime finds, too. Rounding moves an outline by a pixel, and of faint objects it decides
# whether there is one: that of bfloat16 had 0.980 of the trial's objects alike for a network whose
# answers on 52 pictures of nuclei were 0.990 alike, and 0.002 better in PQ than those of float32.
AGREE_OF_OBJECTS = 0.995
AGREE_OBJECTS = 0.97
SAME = 0.5  # IoU above which two outlines are of one object, as in PQ: no object has two such

SAME_SCORE = 0.01  # by which scores of patches may differ: a threshold is no finer

Decode = Callable[[Maps], Answer]
Batch = Mapping[str, NDArray[Any]]  # maps of tiles, (n, ...)


class AgreedShare(NamedTuple):
    """The share of something that two runtimes answer alike, and what is asked for."""

    share: float
    least: float
    of: str


class AgreementRule(NamedTuple):
    """What one kind of answer is compared by.

    Attributes:
        answers: maps of n tiles to what they say, once for all that follows.
        labels: such answers to what each pixel is, uint8 (n, h, w); 0 is nothing.
        agreements: TensorFlow's answers and another's to the shares that are alike.
    """

    answers: Callable[[Batch, Decode], Any]
    labels: Callable[[Any], NDArray[np.uint8]]
    agreements: Callable[[Any, Any], Sequence[AgreedShare]]


def _label_maps(maps: Batch, _decode: Decode) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = maps[LABELS]
    return labels


def _label_agreements(
    wanted: NDArray[np.uint8], found: NDArray[np.uint8], least: float = AGREE
) -> list[AgreedShare]:
    return [AgreedShare(float(np.mean(found == wanted)), least, "labels")]


def _objects(maps: Batch, decode: Decode) -> list[ObjectAnswer]:
    count = len(next(iter(maps.values())))
    answers = (decode({name: each[i] for name, each in maps.items()}) for i in range(count))
    return [answer for answer in answers if isinstance(answer, ObjectAnswer)]


def _object_labels(answers: Sequence[ObjectAnswer]) -> NDArray[np.uint8]:
    return np.stack([_painted(answer) for answer in answers])


def _object_agreements(
    wanted: Sequence[ObjectAnswer], found: Sequence[ObjectAnswer]
) -> list[AgreedShare]:
    same = sum(map(_count_same, wanted, found))
    most = sum(max(len(a.labels), len(b.labels)) for a, b in zip(wanted, found, strict=True))
    return [
        *_label_agreements(_object_labels(wanted), _object_labels(found), AGREE_OF_OBJECTS),
        AgreedShare(same / most if most else 1.0, AGREE_OBJECTS, "objects"),
    ]


def _painted(answer: ObjectAnswer) -> NDArray[np.uint8]:
    """The labels of a tile, uint8 (h, w): 0 is no object, 1 one of no type, 2 the first type."""
    values = np.concatenate([[0], answer.labels.astype(np.uint8) + 1]).astype(np.uint8)
    painted: NDArray[np.uint8] = values[answer.instances]
    return painted


def _count_same(one: ObjectAnswer, other: ObjectAnswer) -> int:
    """Return the number of objects of a tile that are in both answers."""
    from deeplab.evaluation.instances import Overlaps  # noqa: PLC0415  0.2 s, only to compare

    pairs = Overlaps.of_maps(one.instances, other.instances)
    return int(np.count_nonzero(pairs.shared_areas > SAME * pairs.union_areas))


def _scores(maps: Batch, decode: Decode) -> NDArray[np.float32]:
    count = len(next(iter(maps.values())))
    answers = (decode({name: each[i] for name, each in maps.items()}) for i in range(count))
    return np.stack([answer.scores for answer in answers if isinstance(answer, PatchAnswer)])


def _score_labels(scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the likeliest class of each patch, 0 where it is unlikely, uint8 (n, 1, 1)."""
    labels = np.where(scores.max(axis=1) >= 0.5, scores.argmax(axis=1) + 1, 0)
    return labels.astype(np.uint8)[:, None, None]


def _score_agreements(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> list[AgreedShare]:
    alike = np.abs(wanted - found) <= SAME_SCORE
    return [AgreedShare(float(alike.mean()), 1.0, "scores")]


COMPARISONS: Final[Mapping[AnswerKind, AgreementRule]] = {
    "labels": AgreementRule(_label_maps, lambda labels: labels, _label_agreements),
    "patch": AgreementRule(_scores, _score_labels, _score_agreements),
    "objects": AgreementRule(_objects, _object_labels, _object_agreements),
}
