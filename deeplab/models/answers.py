"""What a network answers of a tile once it is decoded: labels, objects, or scores of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

AnswerKind = Literal["labels", "objects", "patch"]  # key of the tables of what can deal with each


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelAnswer:
    """A label a pixel.

    Attributes:
        labels: uint8 (h, w); 0 is background.
        confidence: float32 (h/s, w/s), probability of the likeliest label on every s-th pixel.
        probabilities: float32 (h/s, w/s, labels), None where they were not asked for.
    """

    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObjectAnswer:
    """Objects that may touch: k of them, each whole as far as the tile shows it.

    Attributes:
        instances: int32 (h, w); 0 is background, 1 to k the objects, each with a pixel or more.
        labels: uint8 (k,), of each object in that order; 0 is an object of no known type.
        confidence: float32 (k,), how surely each is an object, 0 to 1.
        label_probability: float32 (k,), how surely it has its label, 0 to 1; None where the network
            tells no types apart.
    """

    instances: NDArray[np.int32]
    labels: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    label_probability: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatchAnswer:
    """One answer for all of a tile.

    Attributes:
        scores: float32 (classes,), probability of each class.
        exclusive: whether there is one class, that of the highest score; else any number of them.
    """

    scores: NDArray[np.float32]
    exclusive: bool


Answer: TypeAlias = LabelAnswer | ObjectAnswer | PatchAnswer
Maps = Mapping[str, NDArray[Any]]  # of one tile, by name, as a predictor gives them


class TileReading(NamedTuple):
    """How the maps of a tile are read.

    Attributes:
        answer: The kind of what they become: the key of tables of what deals with it, never of an
            `if`.
        decode: Knobs and the maps of one tile, without the batch axis, to its answer: NumPy, in
            several threads. None: the graph ends in the answer.
    """

    answer: AnswerKind
    decode: Callable[[Any, Maps], Answer] | None = None
