"""What a classification of patches is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.checks import (
    check_at_least,
    check_choice,
    check_girder_id,
    check_kind_of_file,
    check_range,
    check_word,
)
from deeplab.config.paths import coerce_paths
from deeplab.config.requests import Points, Posting, Runtime, Tissue
from deeplab.errors import ConfigError

Activations = Literal["off", "grad_cam", "pseudo_masks"]
AS_THE_MODEL = -1.0  # a threshold: the one that the model keeps
OUTPUTS = ("output_annotation", "output_geojson", "output_table")  # fields that name a file


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyRequest:
    """Classify the patches of a slide, or each image of a folder or a list.

    Attributes:
        slide: path; with `api_url` the id of a Girder item or of its file.
        model: bundle of a patch classifier.
        output_annotation: layers to write for HistomicsUI; the others are written where asked.
        output_geojson: the rectangles for QuPath.
        output_table: CSV, one row a patch; of several images one row an image.
        post_annotation: "auto" puts the layers on the slide where it is a Girder item.
        save_heatmap: make a heatmap layer of each class.
        save_rectangles: make a layer of each class, of the patches taken for it.
        threshold: score from which a patch is taken for a class; -1: what the model keeps. Where
            classes exclude each other it is that of the highest score, if above the threshold.
        activations: "grad_cam" makes a heatmap layer of what in the patches speaks for each class,
            "pseudo_masks" a layer of outlines of what speaks most for it, of the classes that a
            patch is taken for.
        regions: polygons of interest in level-0 pixels; none: the whole slide.
        slide_mpp: um per level-0 pixel, where the slide does not say it or says it wrong.
        work_mpp: um per pixel at which the network works; 0: what the model was trained at.
        wsi_downsample: the same as a multiple of level 0; 0: not used.
        channels: of a model of channels, what the slide calls them: "name=name or index there", or
            only these in the model's order; empty: as the model does.
        intensity_window: values of the channels that become 0 and 255, as "low:high" or, of one
            channel, "name=low:high"; empty: as in the model's training.
        stride: work pixels from one patch to the next; 0: the side of a patch.
        batch_size: patches a step.
        tissue: "auto" passes over patches without tissue.
        runtime: "auto" takes OpenVINO on a CPU where it is installed.
        gpu: number of the GPU, -1 for the CPU.
        result_id: a word of the server's, which the layers keep, so that it knows them.
    """

    slide: str
    model: Path
    output_annotation: Path | None = None
    output_geojson: Path | None = None
    output_table: Path | None = None
    post_annotation: Posting = "auto"
    save_heatmap: bool = True
    save_rectangles: bool = True
    threshold: float = AS_THE_MODEL
    activations: Activations = "off"
    regions: tuple[Points, ...] = ()
    slide_mpp: float = 0.0
    work_mpp: float = 0.0
    wsi_downsample: float = 0.0
    channels: tuple[str, ...] = ()
    intensity_window: tuple[str, ...] = ()
    stride: int = 0
    batch_size: int = 8
    tissue: Tissue = "auto"
    runtime: Runtime = "auto"
    gpu: int = 0
    result_id: str = ""
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        if self.api_url:
            check_girder_id("slide", self.slide, "an item or a file")
        for name in ("slide_mpp", "work_mpp", "wsi_downsample", "stride"):
            check_at_least(name, getattr(self, name), 0)
        if self.work_mpp and self.wsi_downsample:
            raise ConfigError("wsi_downsample", self.wsi_downsample, "0 where work_mpp is given")
        if self.threshold != AS_THE_MODEL:
            check_range("threshold", self.threshold, 0, 1)
        check_at_least("gpu", self.gpu, -1)
        check_at_least("batch_size", self.batch_size, 1)
        check_choice("tissue", self.tissue, get_args(Tissue))
        check_choice("runtime", self.runtime, get_args(Runtime))
        check_choice("post_annotation", self.post_annotation, get_args(Posting))
        check_word("result_id", self.result_id)
        check_choice("activations", self.activations, get_args(Activations))
        check_kind_of_file("output_annotation", self.output_annotation, ".anot", ".json")
        check_kind_of_file("output_geojson", self.output_geojson, ".geojson", ".json")
        check_kind_of_file("output_table", self.output_table, ".csv")
        for region in self.regions:
            if len(region) < 3:
                raise ConfigError("region", region, "a rectangle or a polygon of at least 3 points")
        if not self.outputs and not (self.api_url and self.post_annotation == "auto"):
            must = "at least one file to write, such as output_table"
            raise ConfigError("outputs", "none", must)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        return tuple(path for name in OUTPUTS if (path := getattr(self, name)))
