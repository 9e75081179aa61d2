"""What is asked to be made ready before the first slide: one frozen value, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """Convert models for this machine and keep what comes of it.

    Attributes:
        models: files of bundles, one at least.
        heatmaps: for segmentations that write heatmaps of probabilities, too.
    """

    models: tuple[Path, ...]
    heatmaps: bool = False

    def __post_init__(self) -> None:
        coerce_paths(self)
        if not self.models:
            raise ConfigError("models", "", "one file at least")
