"""What a gate of classes is made of: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.config.checks import check_kind_of_file, check_range
from deeplab.config.paths import coerce_paths

THRESHOLD = 0.1  # Han et al. 2022


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """Join a model that segments with one that says which classes a patch may have.

    Attributes:
        model: bundle of a network that gives every pixel a class.
        classifier: bundle of a patch classifier of the same classes and scale.
        output: the bundle to write.
        threshold: score that a class must exceed to be in a patch.
    """

    model: Path
    classifier: Path
    output: Path
    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_kind_of_file("output", self.output, ".zip")
        check_range("threshold", self.threshold, 0, 1)
