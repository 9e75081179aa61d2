"""What an export of patches is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.channels import ChannelRequest, learnt_channels
from deeplab.config.checks import check_at_least, check_choice, check_range
from deeplab.config.train_request import SourceSettings
from deeplab.errors import ConfigError

PatchFormat = Literal["png", "zarr"]
PNG_CHANNELS = (1, 3)  # grey, or three that stand for red, green and blue
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
        channels: names (or, from 0 on, indices) of the channels that are cut, one or three for
            "png"; "name=what slides call it" where that differs; none: the colours of the slide.
        intensity_window: values of the channels that become 0 and 255, as "low:high" or, of one
            channel, "name=low:high"; with % they are percentiles of each slide.
        resolution: instead, um per pixel of which each slide has a level within a tenth; 0: none.
    """

    output: Path
    format: PatchFormat = "png"
    patch_size: int = 1024
    work_mpp: float = 0.5
    resolution: float = 0.0
    channels: tuple[str, ...] = ()
    intensity_window: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("format", self.format, get_args(PatchFormat))
        check_range("patch_size", self.patch_size, 16, LARGEST_PATCH)
        check_at_least("work_mpp", self.work_mpp, 0.001)
        check_at_least("resolution", self.resolution, 0)
        wanted = self.learnt_channels
        if self.format == "png" and wanted and len(wanted.channels) not in PNG_CHANNELS:
            must = "zarr for other than one or three channels"
            raise ConfigError("format", self.format, must)
        if self.output.exists() and not (self.output.is_dir() and not any(self.output.iterdir())):
            raise ConfigError("output", self.output, "a folder that is new or holds nothing")

    @property
    def learnt_channels(self) -> ChannelRequest | None:
        """The channels that are cut; None: colours."""
        return learnt_channels(self.channels, self.intensity_window)
