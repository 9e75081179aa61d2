"""From a patch classifier's logits to the probability of each class."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deeplab.config.patch_encoders import Problem
from deeplab.models.answers import Maps, PatchAnswer
from deeplab.models.outputs import CLASSES


class ScoreConfig(Protocol):
    """What scores depend on."""

    @property
    def problem(self) -> Problem:
        """Whether classes exclude each other."""


def decode(config: ScoreConfig, maps: Maps) -> PatchAnswer:
    """Return the probability of each class, from logits (classes,)."""
    logits = np.asarray(maps[CLASSES], np.float64)
    scores: NDArray[np.float64]
    exclusive = config.problem == "multi_class"
    if exclusive:
        powers = np.exp(logits - logits.max())
        scores = powers / powers.sum()
    else:
        scores = 1 / (1 + np.exp(-np.clip(logits, -500, 500)))
    return PatchAnswer(scores=scores.astype(np.float32), exclusive=exclusive)
