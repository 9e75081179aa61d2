"""What an ensemble of models is made of: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.config.checks import check_kind_of_file
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRequest:
    """Join models to one whose probabilities are the mean of theirs.

    Attributes:
        models: two or more bundles of one list of classes and one scale.
        output: the bundle to write.
    """

    models: tuple[Path, ...]
    output: Path

    def __post_init__(self) -> None:
        coerce_paths(self)
        if len(self.models) < 2:
            raise ConfigError("models", ", ".join(map(str, self.models)), "two or more")
        check_kind_of_file("output", self.output, ".zip")
