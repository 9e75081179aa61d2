"""What an export of patches is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.checks import check_at_least, check_choice, check_range
from deeplab.config.train_request import SourceSettings
from deeplab.errors import ConfigError

PatchFormat = Literal["png", "zarr"]
LARGEST_PATCH = 8192  # pixels: a patch and its labels are held in memory, and more are trained on


@dataclass(frozen=True, kw_only=True)
class PatchesRequest(SourceSettings):
    """Cut annotated slides into patches with labels, on a grid, for programs that read no slides.

    Attributes:
        output: the folder to make, which holds nothing yet.
        format: "png": a picture and a label mask each, and a list; "zarr": one array of all
            pictures and one of their labels.
        patch_size: side of a patch, pixels.
        work_mpp: um per pixel of the patches; not used where `resolution` is given.
        resolution: instead, um per pixel of which each slide has a level within a tenth; 0: none.
    """

    output: Path
    format: PatchFormat = "png"
    patch_size: int = 1024
    work_mpp: float = 0.5
    resolution: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("format", self.format, get_args(PatchFormat))
        check_range("patch_size", self.patch_size, 16, LARGEST_PATCH)
        check_at_least("work_mpp", self.work_mpp, 0.001)
        check_at_least("resolution", self.resolution, 0)
        if self.output.exists() and not (self.output.is_dir() and not any(self.output.iterdir())):
            raise ConfigError("output", self.output, "a folder that is new or holds nothing")
