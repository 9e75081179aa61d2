"""What a patch classifier is to answer: the classes whose outlines cover enough of a patch."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Truth, covers
from deeplab.config.patch_encoders import Problem
from deeplab.models.family import Targets
from deeplab.models.outputs import CLASSES, KNOWN

LEAST_KNOWN = 0.5  # share of a patch that somebody has judged


class PresenceConfig(Protocol):
    """What the targets depend on."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def problem(self) -> Problem:
        """Whether classes exclude each other."""

    @property
    def least_cover(self) -> float:
        """Share of a patch from which it has a class."""


def encode(config: PresenceConfig, truth: Truth) -> Targets:
    """Return "classes" float32 (classes,), 1 for each class of a patch, and "known" float32 ().

    Where classes exclude each other it is the one that covers most, and a patch of which none
    covers enough is not known.
    """
    cover, judged = covers(truth, config.classes)
    has = cover >= config.least_cover
    is_known = judged >= LEAST_KNOWN
    if config.problem == "multi_class":
        is_known &= bool(has.any())
        has = np.arange(config.classes) == int(cover.argmax())
    classes: NDArray[np.float32] = has.astype(np.float32) * np.float32(is_known)
    return {CLASSES: classes, KNOWN: np.float32(is_known) * np.ones((), np.float32)}
