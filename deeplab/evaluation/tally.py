"""What a validation counts, whatever is judged: pixels, objects one by one, or whole patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deeplab.evaluation.object_tally import ObjectTally
from deeplab.evaluation.patch_tally import PatchTally
from deeplab.evaluation.semantic import Confusion


class Tally(Protocol):
    """Counts that add up, and the figures that are made of them.

    Attributes:
        kind: of the answers that are judged: key of tables of what can deal with it.
        score_name: name of the figure that `score` is.
        class_score_name: likewise, of `class_scores`.
    """

    kind: ClassVar[str]
    score_name: ClassVar[str]
    class_score_name: ClassVar[str]

    @property
    def counts(self) -> NDArray[Any]:
        """All that was counted, as an array of which sums have meaning."""

    @classmethod
    def empty(cls, class_count: int) -> Self:
        """Return the counts of nothing; `class_count` is without the background."""

    @classmethod
    def of(cls, counts: ArrayLike) -> Self:
        """Return the tally of counts that are known already.

        Raises:
            ValueError: they are not such counts.
        """

    def __add__(self, other: Any) -> Self:  # noqa: ANN401  of its own kind
        """Add what was counted elsewhere."""

    @property
    def score(self) -> float:
        """By which models are compared, 0 to 1; NaN where nothing was there to be judged."""

    @property
    def confused(self) -> NDArray[np.int64]:
        """How much of a true label (row) was taken for each (column), 0 for none."""

    @property
    def class_scores(self) -> NDArray[Any]:
        """One figure for each class, 0 to 1, float64 (classes,); NaN where it does not occur."""

    @property
    def usual_figures(self) -> Mapping[str, NDArray[Any]]:
        """Further figures by which such models are usually compared, each (classes,), by name."""

    @property
    def class_amounts(self) -> NDArray[Any]:
        """How much there truly is of each class, (classes,): pixels or objects."""

    @property
    def error_share(self) -> float:
        """How much is wrong, 0 to 1; NaN where nothing was there to be judged."""

    @property
    def commonest_error(self) -> tuple[int, int] | None:
        """True and predicted label of most errors, 0 for none; None where nothing is mistaken."""

    def figures(self, names: Sequence[str]) -> Mapping[str, float]:
        """Return the figures of a model's card by name; `names` are those of the classes."""


TALLIES: Final[Mapping[str, type[Tally]]] = MappingProxyType(
    {"labels": Confusion, "objects": ObjectTally, "patch": PatchTally}
)


def tally_to_json(tally: Tally) -> dict[str, Any]:
    """Return a tally as JSON values."""
    return {"kind": tally.kind, "counts": tally.counts.tolist()}


def tally_from_json(told: Mapping[str, Any]) -> Tally:
    """Return the tally that `tally_to_json` wrote; without a kind it is one of labels.

    Raises:
        KeyError, ValueError, TypeError, OverflowError: it is something else.
    """
    return TALLIES[told.get("kind", "labels")].of(told["counts"])
