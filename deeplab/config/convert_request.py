"""What a conversion is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.checks import check_at_least, check_choice
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError
from deeplab.files import real_place

AUTO = "auto"
ObjectType = Literal["annotation", "detection", "cell"]  # of QuPath


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertRequest:
    """Write the annotations of a file in another format.

    Attributes:
        source: the file to read, which stays as it is.
        output: the file to write.
        source_format: name of the format of `source`; "auto": as its suffix and content say.
        output_format: name of the format of `output`; "auto": the usual one of its suffix.
        classes: names of the values or types 1, 2, ... where `source` has numbers only.
        image: file name of the picture to read, where `source` is about several.
        label_image: TIFF of the label image that pixelmaps of HistomicsUI in `source` are about.
        slide_mpp: um per level-0 pixel to note; 0: as `source` says.
        slide_width: of the slide, level-0 pixels, for formats that are pictures; 0: as far as the
            annotations reach.
        slide_height: likewise.
        mask_mpp: um per pixel of a label mask to write; 0: those of the slide's level 0.
        object_type: what QuPath takes the shapes of a GeoJSON for. Nuclei by the thousand are
            detections or cells there.
    """

    source: Path
    output: Path
    source_format: str = AUTO
    output_format: str = AUTO
    classes: tuple[str, ...] = ()
    image: str = ""
    label_image: Path | None = None
    slide_mpp: float = 0.0
    slide_width: int = 0
    slide_height: int = 0
    mask_mpp: float = 0.0
    object_type: ObjectType = "annotation"

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_at_least("slide_mpp", self.slide_mpp, 0)
        check_at_least("slide_width", self.slide_width, 0)
        check_at_least("slide_height", self.slide_height, 0)
        check_at_least("mask_mpp", self.mask_mpp, 0)
        check_choice("object_type", self.object_type, get_args(ObjectType))
        if real_place(self.output) == real_place(self.source):
            raise ConfigError("output", self.output, "another file than the one that is read")
