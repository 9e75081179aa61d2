"""How the errors of a region are said, by the kind of what was judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from deeplab.report.charts import percent
from deeplab.report.words import as_percent, as_score

NO_OBJECT = "background"  # as label 0 is called


class ErrorWords(NamedTuple):
    """Words for a share of errors.

    Attributes:
        sentence: in a report.
        title: over a picture.
        label: on a slide, short.
        mistake: the true and the predicted class of an error, by name.
    """

    sentence: Callable[[float], str]
    title: Callable[[float], str]
    label: Callable[[float], str]
    mistake: Callable[[str, str], str]


def _as_pq(share: float) -> str:
    return f"PQ {as_score(1 - share)}"


def _of_labels(truth: str, prediction: str) -> str:
    return f"{truth} taken for {prediction}"


def _of_objects(truth: str, prediction: str) -> str:
    if prediction == NO_OBJECT:
        return f"{truth} not found as an object of its own"
    if truth == NO_OBJECT:
        return f"{prediction} found where none was drawn"
    return _of_labels(truth, prediction)


def _of_patches(truth: str, prediction: str) -> str:
    if prediction == NO_OBJECT:
        return f"{truth} not seen"
    if truth == NO_OBJECT:
        return f"{prediction} seen where it is not"
    return _of_labels(truth, prediction)


ERROR_WORDS: Final[Mapping[str, ErrorWords]] = MappingProxyType(
    {
        "labels": ErrorWords(
            sentence=lambda share: f"{as_percent(share)} wrong",
            title=lambda share: f"{percent(share)} of its pixels wrong",
            label=lambda share: f"{share:.0%} wrong",
            mistake=_of_labels,
        ),
        "patch": ErrorWords(
            sentence=lambda share: f"{as_percent(share)} of its classes wrong",
            title=lambda share: f"{percent(share)} of its classes wrong",
            label=lambda share: f"{share:.0%} wrong",
            mistake=_of_patches,
        ),
        "objects": ErrorWords(sentence=_as_pq, title=_as_pq, label=_as_pq, mistake=_of_objects),
    }
)
