"""What answers tiles, whatever computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from deeplab.config.views import View
from deeplab.inference.decode import Decode
from deeplab.inference.stream import Predict
from deeplab.models.answers import AnswerKind
from deeplab.models.outputs import PredictedMap


@dataclass(frozen=True, slots=True)
class Predictor:
    """How tiles are answered.

    Attributes:
        runtime: name of what computes.
        predict: tiles to maps.
        decode: the maps of one tile to its answer.
        answer: the kind of that.
        side: of the tiles that `predict` takes, work pixels; 0: it takes any, and says MemoryError
            of tiles that memory does not suffice for.
    """

    runtime: str
    predict: Predict
    decode: Decode
    answer: AnswerKind
    side: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSpec:
    """What a predictor's graph is made of.

    Attributes:
        model: A bundle, or what else `load_bundle` reads.
        maps: What is wanted of each tile; a family that decodes gives those of its own.
        views: How each tile is looked at.
        trial_side: Side of the tiles on which a runtime is compared with TensorFlow, about a
            training crop.
    """

    model: Path
    maps: tuple[PredictedMap, ...]
    views: tuple[View, ...]
    trial_side: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"model": str(self.model.absolute())}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave."""
        return cls(
            model=Path(told["model"]),
            maps=tuple(told["maps"]),
            views=tuple(View(**view) for view in told["views"]),
            trial_side=told["trial_side"],
        )
