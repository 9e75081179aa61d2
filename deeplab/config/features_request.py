"""What a measurement of outlined objects is asked to do: one frozen value, checked when made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.channels import WHOLE_RANGE, ChannelRequest, learnt_channels
from deeplab.config.checks import (
    check_at_least,
    check_choice,
    check_girder_id,
    check_kind_of_file,
    check_range,
)
from deeplab.config.paths import coerce_paths
from deeplab.config.requests import Posting
from deeplab.errors import ConfigError
from deeplab.files import real_place

Pixels = Literal["auto", "off"]
Staining = Literal["he", "pas"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesRequest:
    """Measure what is outlined on slides.

    Attributes:
        source: folder of slides with annotations beside them, one slide, a list file, or with
            `api_url` the id of a Girder item, of its file or of a folder.
        folder: id of a Girder folder of slides to measure instead of the one.
        classes: names of the layers to measure; none: all.
        output_workbook: XLSX to write, a sheet for each class and one of the slides; the other
            outputs are written where asked.
        output_table: CSV, one row an object.
        output_report: HTML page for people.
        output_annotation: the objects with their features, in the format of its suffix; a zip of
            one for each slide where the name ends in .zip.
        post_annotation: "auto" puts these layers on the slides where they are Girder items.
        post_metadata: "auto" puts the slide's numbers into the metadata of its Girder item.
        slide_labels: XLSX or CSV with a row for each slide, whose columns join those measured.
        pixels: "auto" also measures colour, stain, texture and nuclei, "off" outlines only.
        staining: what slides of colours are stained with.
        channels: of fluorescent slides, the channels whose intensity is measured: "name", or
            "name=what slides call it", or indices from 0 on; none: colours are measured.
        intensity_window: values of the channels between which they are told apart, as "low:high"
            or, of one channel, "name=low:high"; none: the least and the greatest of the slide.
        work_mpp: um per pixel at which pixels are read.
        radius_um: how far around an object its neighbours are counted.
        slide_mpp: um per level-0 pixel, where slides do not say it or say it wrong.
        api_url: of the Girder server that holds the slides.
        token: for it.
    """

    source: str
    folder: str = ""
    classes: tuple[str, ...] = ()
    output_workbook: Path | None = None
    output_table: Path | None = None
    output_report: Path | None = None
    output_annotation: Path | None = None
    post_annotation: Posting = "auto"
    post_metadata: Posting = "auto"
    slide_labels: Path | None = None
    pixels: Pixels = "auto"
    staining: Staining = "he"
    channels: tuple[str, ...] = ()
    intensity_window: tuple[str, ...] = ()
    work_mpp: float = 0.5
    radius_um: float = 100.0
    slide_mpp: float = 0.0
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        if self.folder:
            check_girder_id("folder", self.folder, "a folder")
            if not self.api_url:
                raise ConfigError("folder", self.folder, "empty where no Girder server is given")
        elif self.api_url:
            check_girder_id("source", self.source, "an item, a file or a folder")
        check_choice("post_annotation", self.post_annotation, get_args(Posting))
        check_choice("post_metadata", self.post_metadata, get_args(Posting))
        check_choice("pixels", self.pixels, get_args(Pixels))
        check_choice("staining", self.staining, get_args(Staining))
        check_range("work_mpp", self.work_mpp, 0.05, 20)
        check_range("radius_um", self.radius_um, 1, 5000)
        check_at_least("slide_mpp", self.slide_mpp, 0)
        _ = self.measured_channels  # checks names and windows
        check_kind_of_file("output_workbook", self.output_workbook, ".xlsx")
        check_kind_of_file("output_table", self.output_table, ".csv")
        check_kind_of_file("output_report", self.output_report, ".html", ".htm")
        files = set(map(real_place, self.outputs))
        if len(files) < len(self.outputs):
            raise ConfigError("outputs", ", ".join(map(str, self.outputs)), "different files")
        if self.slide_labels and real_place(self.slide_labels) in files:
            raise ConfigError("slide_labels", self.slide_labels, "another file than those written")
        if not self.outputs and not self.posts:
            raise ConfigError(
                "outputs", "none", "at least one file to write, such as output_workbook"
            )

    @property
    def measured_channels(self) -> ChannelRequest | None:
        """The channels whose intensity is measured; None: colours are."""
        return learnt_channels(self.channels, self.intensity_window, usual=WHOLE_RANGE)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        asked = (
            self.output_workbook,
            self.output_table,
            self.output_report,
            self.output_annotation,
        )
        return tuple(path for path in asked if path)

    @property
    def posts(self) -> bool:
        """Whether something goes to the server."""
        return bool(self.api_url) and "auto" in (self.post_annotation, self.post_metadata)
