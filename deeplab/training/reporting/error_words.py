"""How the errors of a region are said, by the kind of what was judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from deeplab.report.charts import percent
from deeplab.report.words import as_percent, as_score


class ErrorWords(NamedTuple):
    """Words for a share of errors.

    Attributes:
        sentence: in a report.
        title: over a picture.
        label: on a slide, short.
    """

    sentence: Callable[[float], str]
    title: Callable[[float], str]
    label: Callable[[float], str]


def _as_pq(share: float) -> str:
    return f"PQ {as_score(1 - share)}"


ERROR_WORDS: Final[Mapping[str, ErrorWords]] = MappingProxyType(
    {
        "labels": ErrorWords(
            sentence=lambda share: f"{as_percent(share)} wrong",
            title=lambda share: f"{percent(share)} of its pixels wrong",
            label=lambda share: f"{share:.0%} wrong",
        ),
        "objects": ErrorWords(sentence=_as_pq, title=_as_pq, label=_as_pq),
    }
)
