"""From the maps that a graph gives of a tile to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from deeplab.models.answers import Answer, AnswerKind, LabelAnswer
from deeplab.models.family import Family, Maps
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES

Decode = Callable[[Maps], Answer]


def tile_decoder(family: Family, config: Any) -> Decode:  # noqa: ANN401  the family's own config
    """Return what makes an answer of the maps of one tile, without the batch axis."""
    if family.decode:
        return partial(family.decode, config)
    return _IN_GRAPH[family.answer]


def _take_labels(maps: Maps) -> LabelAnswer:
    return LabelAnswer(
        labels=maps[LABELS], confidence=maps[CONFIDENCE], probabilities=maps.get(PROBABILITIES)
    )


# Of families whose graph ends in the answer.
_IN_GRAPH: Final[Mapping[AnswerKind, Decode]] = {"labels": _take_labels}
