"""What a segmentation or an averaging is asked to do: a frozen value, checked when it is made.

A slide is named by a path or, with `api_url` and `token`, by the id of a Girder item or of its file
(HistomicsUI hands over the file's); a folder of slides likewise, by the folder's id. The task
forms (`slicer_cli_spec/`) offer these fields with these defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from deeplab.config.checks import (
    check_at_least,
    check_choice,
    check_girder_id,
    check_kind_of_file,
    check_whole,
    check_word,
)
from deeplab.config.convert_request import ObjectType
from deeplab.config.paths import coerce_paths
from deeplab.config.views import View, views_of
from deeplab.errors import ConfigError

RAY_HERE: Final = "local"  # in place of an address: a cluster of this machine, for this run
RAY_HOST: Final = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")
LEAST_NEXT_REGION_UM: Final = 20.0  # a few cells
MOST_NEXT_REGIONS: Final = 100  # more than anybody outlines before the next training
Points = tuple[tuple[float, float], ...]
Runtime = Literal["auto", "tensorflow", "openvino"]
Tissue = Literal["auto", "off"]
Posting = Literal["auto", "off"]
AskedObjectType = Literal["auto", ObjectType]
SEGMENT_OUTPUTS = (  # the fields of SegmentRequest that name a file to write
    "output_annotation",
    "output_geojson",
    "output_overlay",
    "output_table",
    "output_mask",
    "output_timings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """Segment one slide.

    Attributes:
        slide: path; with `api_url` the id of a Girder item or of its file.
        model: bundle, or zip or folder of a TensorFlow 1 checkpoint.
        output_annotation: layers to write, in the format of its suffix; the other outputs are
            written where asked.
        output_geojson: the same shapes for QuPath.
        object_type: what QuPath takes the shapes of a GeoJSON for; "auto": annotations, of a
            network that finds objects one by one detections.
        output_overlay: PNG of the outlines over the slide.
        overlay_dots: and of a dot at the centre of each shape.
        output_table: CSV, one row a shape.
        output_mask: label map at the work scale; called *.instances.tiff, of numbered shapes.
        output_timings: JSON of how long each stage took.
        post_annotation: "auto" puts the layers on the slide where it is a Girder item.
        regions: polygons of interest in level-0 pixels; none: the whole slide.
        channels: of a model of channels, what the slide calls them: "name=name or index there", or
            these in the model's order; empty: as the model does.
        intensity_window: values of the channels that become 0 and 255, as "low:high" or, of one
            channel, "name=low:high"; "0.5%:99.8%" are percentiles; empty: as in the training.
        slide_mpp: um per level-0 pixel, where the slide does not say it or says it wrong.
        work_mpp: um per pixel at which the network works; None: what the model was trained at.
        wsi_downsample: the same as a multiple of level 0; 0: not used.
        tile_size: side of the tiles read, halo included, work pixels; 0: what the model suggests.
        halo: work pixels cut off around each tile; -1: what the model suggests.
        batch_size: tiles a step.
        tissue: "auto" passes over tiles without tissue.
        tissue_mask: picture that is not 0 where tissue is, of the shape of the slide and any size,
            or folder of such with the names of the slides; None: tissue is looked for.
        min_area_um2: smaller shapes are dropped.
        min_hole_um2: smaller holes are filled.
        simplify_um: an outline may move by this much, to have fewer vertices.
        save_heatmap: add a layer of each class's probability.
        heatmap_um: side of a heatmap cell.
        next_regions: squares to add as a layer, of those in which the model is least sure and, in
            turn, those whose stain is least like that of the slides learnt from.
        next_region_um: side of such a square; 0: 256 work pixels, but at least 20 um.
        eval_scales: each tile is looked at in each of these sizes, and the answers are averaged.
        add_flipped_images: and in each as its mirror image, too.
        runtime: "auto" takes OpenVINO on a CPU where it is installed.
        gpu: number of the GPU, -1 for the CPU.
        memory_limit: 10^9 bytes that OpenVINO may make the process hold: tiles are made so small
            that they suffice; 0: what the machine or the container has.
        work_folder: keeps what the tiles of a slide gave until the slide is done, so that a run
            that was killed goes on after them; None: nothing is kept.
        skip_done: of a folder or a list, pass over slides all of whose results are there.
        ray: address of a Ray cluster that segments a folder or a list, "local" for one of this
            machine; "": this process does.
        ray_cores: processors that a slide is given there; 0: all of a machine.
        result_id: a word of the server's, which the layers keep, so that it knows them.
    """

    slide: str
    model: Path
    output_annotation: Path | None = None
    output_geojson: Path | None = None
    object_type: AskedObjectType = "auto"
    output_overlay: Path | None = None
    overlay_dots: bool = False
    output_table: Path | None = None
    output_mask: Path | None = None
    output_timings: Path | None = None
    post_annotation: Posting = "auto"
    regions: tuple[Points, ...] = ()
    channels: tuple[str, ...] = ()
    intensity_window: tuple[str, ...] = ()
    slide_mpp: float = 0.0
    work_mpp: float = 0.0
    wsi_downsample: float = 0.0
    tile_size: int = 0
    halo: int = -1
    batch_size: int = 1
    tissue: Tissue = "auto"
    tissue_mask: Path | None = None
    min_area_um2: float = 10.0
    min_hole_um2: float = 0.0
    simplify_um: float = 0.25
    save_heatmap: bool = False
    heatmap_um: float = 32.0
    next_regions: int = 0
    next_region_um: float = 0.0
    eval_scales: tuple[float, ...] = (1.0,)
    add_flipped_images: bool = False
    runtime: Runtime = "auto"
    gpu: int = 0
    memory_limit: float = 0.0
    work_folder: Path | None = None
    skip_done: bool = False
    ray: str = ""
    ray_cores: int = 0
    result_id: str = ""
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        self._check_places()
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
        check_whole("next_regions", self.next_regions, 0, MOST_NEXT_REGIONS)
        if self.next_region_um:
            check_at_least("next_region_um", self.next_region_um, LEAST_NEXT_REGION_UM)
        check_choice("tissue", self.tissue, get_args(Tissue))
        if self.tissue_mask and self.tissue == "off":
            raise ConfigError("tissue", self.tissue, "auto where a tissue_mask is given")
        check_choice("runtime", self.runtime, get_args(Runtime))
        check_choice("post_annotation", self.post_annotation, get_args(Posting))
        check_choice("object_type", self.object_type, get_args(AskedObjectType))
        if self.object_type != "auto" and not self._writes_geojson:
            raise ConfigError("object_type", self.object_type, "auto where no GeoJSON is written")
        check_at_least("ray_cores", self.ray_cores, 0)
        check_at_least("memory_limit", self.memory_limit, 0)
        check_word("result_id", self.result_id)
        _ = self.views  # checks the scales
        check_kind_of_file("output_overlay", self.output_overlay, ".png")
        check_kind_of_file("output_table", self.output_table, ".csv")
        check_kind_of_file("output_timings", self.output_timings, ".json")
        for region in self.regions:
            if len(region) < 3:
                raise ConfigError("region", region, "a rectangle or a polygon of at least 3 points")
        if not self.outputs and not (self.api_url and self.post_annotation == "auto"):
            raise ConfigError(
                "outputs", "none", "at least one file to write, such as output_annotation"
            )

    @property
    def views(self) -> tuple[View, ...]:
        """How each tile is looked at."""
        return views_of(
            self.eval_scales, mirrored=(False, True) if self.add_flipped_images else (False,)
        )

    def _check_places(self) -> None:
        if self.api_url:
            check_girder_id("slide", self.slide, "an item or a file")
            if self.work_folder:
                must = "left away on a server, whose workers keep nothing for the next"
                raise ConfigError("work_folder", self.work_folder, must)
            if self.ray:  # a batch of the server's does that
                raise ConfigError("ray", self.ray, "left away on a server")
        if self.ray not in ("", RAY_HERE, "auto") and not RAY_HOST.fullmatch(self.ray):
            raise ConfigError("ray", self.ray, f"{RAY_HERE}, auto or host:port")

    @property
    def _writes_geojson(self) -> bool:
        annotation = self.output_annotation
        is_one = annotation is not None and annotation.suffix.lower() == ".geojson"
        return is_one or self.output_geojson is not None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        asked: Iterable[Path | None] = (getattr(self, name) for name in SEGMENT_OUTPUTS)
        return tuple(path for path in asked if path)


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageRequest:
    """Average models of one network.

    Attributes:
        source: folder of models, or the first one; with `api_url` the id of a Girder folder.
        output_model: bundle to write.
        models: names of those in the folder to take, all where there are none; where `source` is a
            model, the paths of the others.
        weights: how much each counts, in their order; none: equally.
        api_url: of the Girder server that holds them.
        token: for it.
    """

    source: str
    output_model: Path
    models: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        if self.api_url:
            check_girder_id("source", self.source, "a folder")
        check_kind_of_file("output_model", self.output_model, ".zip")
        for weight in self.weights:
            check_at_least("weights", weight, 0)
        if self.weights and not any(self.weights):
            raise ConfigError("weights", self.weights, "above 0 for some model")
