"""What the unpacking of a public data set is asked to do: one frozen value, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deeplab.config.checks import check_range
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError

PUBLIC_UM = 0.25  # per pixel: PanNuke, CoNIC, CoNSeP and MoNuSeg are all of 40x
FINEST_UM, COARSEST_UM = 0.05, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpackRequest:
    """Make a folder of pictures and annotations of a data set of nuclei.

    Attributes:
        source: its folder.
        output: the folder to make, which holds nothing yet.
        slide_mpp: um per pixel, which none of the files states.
        classes: names of its types 1, 2, ...; none: those of its authors.
        validation: names of folds or parts to hold out; none: as the data set has it.
    """

    source: Path
    output: Path
    slide_mpp: float = PUBLIC_UM
    classes: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_range("slide_mpp", self.slide_mpp, FINEST_UM, COARSEST_UM)
        if self.output.exists() and not (self.output.is_dir() and not any(self.output.iterdir())):
            raise ConfigError("output", self.output, "a folder that is new or holds nothing")
