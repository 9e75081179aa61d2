"""What a run is asked to do: one frozen value a task, checked when it is made.

A slide is named by a path or, with `api_url` and `token`, by the id of a Girder item or of its file
(HistomicsUI hands over the file's); a folder of slides likewise, by the folder's id. The task
forms (`slicer_cli_spec/`) offer these fields with these defaults.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from deeplab.errors import ConfigError

Points = tuple[tuple[float, float], ...]
Runtime = Literal["auto", "tensorflow", "openvino"]
Tissue = Literal["auto", "off"]
Posting = Literal["auto", "off"]
Optimizer = Literal["adamw", "momentum"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]

_GIRDER_ID = re.compile("[0-9a-f]{24}")


def is_girder_id(text: str) -> bool:
    """Whether `text` has the form of an id of a Girder server."""
    return _GIRDER_ID.fullmatch(text) is not None


def check_girder_id(name: str, value: str, what: str) -> None:
    """Raise ConfigError unless `value` has the form of an id; `what` says whose id it must be."""
    if not is_girder_id(value):
        raise ConfigError(name, value, f"the id of {what} where a Girder server is given")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise ConfigError unless `value` is a finite number of at least `least`."""
    if not (math.isfinite(value) and value >= least):
        raise ConfigError(name, value, f"at least {least:g}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        raise ConfigError(name, value, "one of " + ", ".join(choices))


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """Segment one slide.

    Attributes:
        slide: path; with `api_url` the id of a Girder item or of its file.
        model: bundle, or zip or folder of a TensorFlow 1 checkpoint.
        output_annotation: HistomicsUI JSON to write; the other outputs are written where asked.
        output_geojson: the same shapes for QuPath.
        output_overlay: PNG of the outlines over the slide.
        output_table: CSV, one row a shape.
        output_mask: tiled TIFF of label values at the work scale.
        post_annotation: "auto" puts the layers on the slide where it is a Girder item.
        regions: polygons of interest in level-0 pixels; none: the whole slide.
        slide_mpp: um per level-0 pixel, where the slide does not say it or says it wrong.
        work_mpp: um per pixel at which the network works; None: what the model was trained at.
        wsi_downsample: the same as a multiple of level 0; 0: not used.
        tile_size: side of the tiles read, halo included, work pixels; 0: what the model suggests.
        halo: work pixels cut off around each tile; -1: what the model suggests.
        batch_size: tiles a step.
        tissue: "auto" passes over tiles without tissue.
        min_area_um2: smaller shapes are dropped.
        min_hole_um2: smaller holes are filled.
        simplify_um: an outline may move by this much, to have fewer vertices.
        save_heatmap: add a layer of each class's probability.
        heatmap_um: side of a heatmap cell.
        runtime: "auto" takes OpenVINO on a CPU where it is installed.
        gpu: number of the GPU, -1 for the CPU.
    """

    slide: str
    model: Path
    output_annotation: Path | None = None
    output_geojson: Path | None = None
    output_overlay: Path | None = None
    output_table: Path | None = None
    output_mask: Path | None = None
    post_annotation: Posting = "auto"
    regions: tuple[Points, ...] = ()
    slide_mpp: float = 0.0
    work_mpp: float = 0.0
    wsi_downsample: float = 0.0
    tile_size: int = 0
    halo: int = -1
    batch_size: int = 1
    tissue: Tissue = "auto"
    min_area_um2: float = 10.0
    min_hole_um2: float = 0.0
    simplify_um: float = 0.25
    save_heatmap: bool = False
    heatmap_um: float = 32.0
    runtime: Runtime = "auto"
    gpu: int = 0
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.api_url:
            check_girder_id("slide", self.slide, "an item or a file")
        for name in (
            "slide_mpp",
            "work_mpp",
            "wsi_downsample",
            "min_area_um2",
            "min_hole_um2",
            "simplify_um",
        ):
            check_at_least(name, getattr(self, name), 0)
        if self.work_mpp and self.wsi_downsample:
            raise ConfigError("wsi_downsample", self.wsi_downsample, "0 where work_mpp is given")
        if self.tile_size:
            check_at_least("tile_size", self.tile_size, 65)
        check_at_least("halo", self.halo, -1)
        check_at_least("gpu", self.gpu, -1)
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("heatmap_um", self.heatmap_um, 1)
        check_choice("tissue", self.tissue, get_args(Tissue))
        check_choice("runtime", self.runtime, get_args(Runtime))
        check_choice("post_annotation", self.post_annotation, get_args(Posting))
        for region in self.regions:
            if len(region) < 3:
                raise ConfigError("region", region, "a rectangle or a polygon of at least 3 points")
        if not self.outputs and not (self.api_url and self.post_annotation == "auto"):
            raise ConfigError(
                "outputs", "none", "at least one file to write, such as output_annotation"
            )

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        asked = (
            self.output_annotation,
            self.output_geojson,
            self.output_overlay,
            self.output_table,
            self.output_mask,
        )
        return tuple(path for path in asked if path)


_LEAST_IN_TRAINING = {
    "patch_size": 33,
    "steps": 1,
    "batch_size": 1,
    "validate_every": 1,
    "work_mpp": 0,
    "slide_mpp": 0,
    "augment": 0,
    "slow_start_step": 0,
    "learning_rate_start": 0,
    "end_learning_rate": 0,
    "weight_decay": 0,
    "dice_weight": 0,
    "include_background_prob": 0,
    "validation_fraction": 0,
    "learning_rate": 1e-12,
    "learning_power": 0,
    "aspp_filters": 1,
    "decoder_filters": 1,
    "depth_multiplier": 0.1,
    "seed": 0,
    "gpu": -1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """Train a network on slides with annotations.

    Attributes:
        source: folder of slides with annotations or label masks beside them, a list file (CSV
            with columns slide, annotation and, if known, patient and split), or the id of a Girder
            folder whose items carry live annotations.
        output_model: the bundle to write.
        classes: names of the layers to learn, in the order of their labels.
        ignore_class: a layer that is left out of the loss.
        work_folder: checkpoints and the log go here; None: beside `output_model`.
        initial_model: bundle or TensorFlow 1 checkpoint to start from.
        init_last_layer: take the layers after the backbone from `initial_model`, too.
        backbone: a row of the table of backbones.
        atrous_rates: of the ASPP; none: no ASPP branches.
        output_stride: of the backbone.
        aspp_filters: channels of the ASPP.
        decoder_filters: channels of the decoder.
        depth_multiplier: of mobilenet_v2's channels.
        patch_size: side of a training patch, work pixels; rounded up to a multiple of 16 plus 1.
        work_mpp: um per pixel of the patches; not used where `wsi_downsample` is given.
        wsi_downsample: instead of `work_mpp`, multiples of level 0, one drawn for each patch.
        slide_mpp: um per level-0 pixel, where slides do not say it or say it wrong.
        steps: optimiser steps.
        batch_size: patches a step.
        include_background_prob: share of background patches drawn anywhere instead of on tissue.
        augment: strength of the augmentation, from 0 (none) to 1.
        learning_rate: highest rate.
        learning_rate_start: rate at the first step.
        slow_start_step: steps until the highest rate.
        end_learning_rate: rate at the last step.
        learning_power: of the polynomial that leads there.
        optimizer: "adamw", or "momentum" as the ancestor's.
        weight_decay: of kernels; biases and normalisation are free of it.
        batch_norm: train the batch normalisation, too.
        dice_weight: share of the soft Dice loss beside cross entropy.
        validation_fraction: of the slides, held out whole.
        validate_every: steps from one validation to the next.
        precision: of the arithmetic.
        seed: of everything that is drawn.
        gpu: number of the GPU, -1 for the CPU.
    """

    source: str
    output_model: Path
    classes: tuple[str, ...]
    ignore_class: str = "ignore"
    work_folder: Path | None = None
    initial_model: Path | None = None
    init_last_layer: bool = False
    backbone: str = "mobilenet_v2"
    atrous_rates: tuple[int, ...] = (6, 12, 18)
    output_stride: int = 16
    aspp_filters: int = 256
    decoder_filters: int = 256
    depth_multiplier: float = 1.0
    patch_size: int = 512
    work_mpp: float = 0.5
    wsi_downsample: tuple[float, ...] = ()
    slide_mpp: float = 0.0
    steps: int = 5000
    batch_size: int = 4
    include_background_prob: float = 0.1
    augment: float = 0.5
    learning_rate: float = 1e-3
    learning_rate_start: float = 1e-5
    slow_start_step: int = 200
    end_learning_rate: float = 0.0
    learning_power: float = 0.9
    optimizer: Optimizer = "adamw"
    weight_decay: float = 4e-5
    batch_norm: bool = True
    dice_weight: float = 0.5
    validation_fraction: float = 0.2
    validate_every: int = 500
    precision: Precision = "float32"
    seed: int = 0
    gpu: int = 0
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.api_url:
            check_girder_id("source", self.source, "a folder")
        if not self.classes:
            raise ConfigError("classes", "", "at least one name")
        for name, least in _LEAST_IN_TRAINING.items():
            check_at_least(name, getattr(self, name), least)
        for name in ("augment", "dice_weight", "include_background_prob"):
            if getattr(self, name) > 1:
                raise ConfigError(name, getattr(self, name), "between 0 and 1")
        for name in ("wsi_downsample", "atrous_rates"):
            for value in getattr(self, name):
                check_at_least(name, value, 1)
        if self.validation_fraction >= 1:
            raise ConfigError("validation_fraction", self.validation_fraction, "below 1")
        if not (self.work_mpp or self.wsi_downsample):
            raise ConfigError("work_mpp", self.work_mpp, "above 0 where wsi_downsample is empty")
        check_choice("output_stride", str(self.output_stride), ("8", "16"))
        check_choice("optimizer", self.optimizer, get_args(Optimizer))
        check_choice("precision", self.precision, get_args(Precision))
