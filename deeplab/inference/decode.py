"""From the maps that a graph gives of a tile to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from deeplab.config.network import NetworkConfig
from deeplab.models.answers import Answer, AnswerKind, LabelAnswer, Maps
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES
from deeplab.models.readings import reading_of

Decode = Callable[[Maps], Answer]


def tile_decoder(config: NetworkConfig) -> Decode:
    """Return what makes an answer of the maps of one tile, without the batch axis."""
    reading = reading_of(config)
    if reading.decode:
        return partial(reading.decode, config)
    return _IN_GRAPH[reading.answer]


def _take_labels(maps: Maps) -> LabelAnswer:
    return LabelAnswer(
        labels=maps[LABELS], confidence=maps[CONFIDENCE], probabilities=maps.get(PROBABILITIES)
    )


# Of families whose graph ends in the answer.
_IN_GRAPH: Final[Mapping[AnswerKind, Decode]] = {"labels": _take_labels}
