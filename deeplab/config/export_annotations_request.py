"""What an export of annotations is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from deeplab.config.checks import check_at_least, check_girder_id
from deeplab.config.convert_request import AUTO
from deeplab.config.paths import coerce_paths


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportAnnotationsRequest:
    """Write the annotations of slides as files of one format.

    Attributes:
        source: folder, slide or list of slides with their files of annotations; with `api_url` the
            id of a Girder folder, of one slide's item or of its file.
        output: a .zip with a file for each slide; for one slide also that file itself.
        output_format: name of the format; "auto": the usual one of the suffix of `output`, in a
            .zip ImageScope XML.
        classes: names of the layers to write; none: all.
        mask_mpp: um per pixel of label masks; 0: those of the slide's level 0.
        value_names: names of the values 1, 2, ... of label masks that are read.
        api_url: of the Girder server that has the slides.
        token: for it.
    """

    source: str
    output: Path
    output_format: str = AUTO
    classes: tuple[str, ...] = ()
    mask_mpp: float = 0.0
    value_names: tuple[str, ...] = ()
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_at_least("mask_mpp", self.mask_mpp, 0)
        if self.api_url:
            check_girder_id("source", self.source, "a folder or a slide")
