"""What an evaluation is asked to do: one frozen value, checked when it is made."""

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
)
from deeplab.config.paths import coerce_paths
from deeplab.config.requests import Points, Posting
from deeplab.errors import ConfigError
from deeplab.files import real_place

ErrorLayers = Literal["areas", "objects", "both"]
Unmatched = Literal["stop", "go_on"]
BACKGROUND = "background"
FINEST_UM = 0.05  # per pixel: light shows nothing finer
COARSEST_UM = 1000.0  # per pixel: no scale is coarser
MOST_CLASSES = 254  # labels are bytes: 0 is background, 255 is not judged


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """Compare a prediction with a reference.

    Attributes:
        reference: file of annotations, or folder of such; with `api_url` the id of a Girder item
            or of its file, whose layers are compared.
        prediction: file or folder; "": the reference carries the predicted layers, too.
        folder: id of a Girder folder of items to compare instead of the one.
        slide: file or folder of the slides, where these are not beside the reference.
        output_report: HTML to write; the other outputs are written where asked.
        output_table: CSV, one row a figure.
        output_annotation: layers of the errors, in the format of its suffix; of several slides a
            zip of files for HistomicsUI.
        post_annotation: "auto" puts the layers of errors on a slide that is a Girder item.
        classes: to be judged, a later one over the earlier; none: all layers there are.
        aliases: other names of classes, each "name=class".
        unmatched: "go_on" compares also where no name of a layer is on both sides.
        ignore_class: layer of the reference within which nothing is judged; "": none.
        reference_layers: names of the layers that are the reference; none: those that no task made.
        prediction_layers: names of the layers that are the prediction; none: those a task made.
        model: name of the model whose layers are judged, or the SHA-256 of its file, where there
            are those of several.
        regions: polygons in level-0 pixels within which is judged; none: everywhere.
        region_layer: layer of the reference whose shapes bound where is judged; "": everywhere.
        slide_mpp: um per level-0 pixel, where it is not known or known wrong.
        work_mpp: um per pixel of the comparison; 0: 0.5, or level 0 where that is coarser.
        border_um: distance up to which a border counts as found.
        min_iou: IoU above which two objects are one.
        centroid_um: distance within which two centroids are a pair; 0: not looked at.
        error_layers: whether errors are shown as areas, as objects without partner, or both.
        error_width_um: errors narrower than this are counted but not shown.
        api_url: of the Girder server that holds the data.
        token: for it.
    """

    reference: str
    prediction: str = ""
    folder: str = ""
    slide: str = ""
    output_report: Path | None = None
    output_table: Path | None = None
    output_annotation: Path | None = None
    post_annotation: Posting = "auto"
    classes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    unmatched: Unmatched = "stop"
    ignore_class: str = "ignore"
    reference_layers: tuple[str, ...] = ()
    prediction_layers: tuple[str, ...] = ()
    model: str = ""
    regions: tuple[Points, ...] = ()
    region_layer: str = ""
    slide_mpp: float = 0.0
    work_mpp: float = 0.0
    border_um: float = 2.0
    min_iou: float = 0.5
    centroid_um: float = 0.0
    error_layers: ErrorLayers = "areas"
    error_width_um: float = 2.0
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        if self.api_url and not self.folder:
            check_girder_id("reference", self.reference, "an item or a file")
        if self.folder:
            check_girder_id("folder", self.folder, "a folder")
            if not self.api_url:
                raise ConfigError("folder", self.folder, "empty where no Girder server is given")
        for name in ("slide_mpp", "work_mpp", "border_um"):
            check_at_least(name, getattr(self, name), 0)
        if self.work_mpp:
            check_range("work_mpp", self.work_mpp, FINEST_UM, COARSEST_UM)
        # Beyond these, what is compared is no longer one place with another.
        check_range("centroid_um", self.centroid_um, 0, 200)
        check_range("error_width_um", self.error_width_um, 0, 100)
        check_range("min_iou", self.min_iou, 0, 0.99)
        check_choice("error_layers", self.error_layers, get_args(ErrorLayers))
        check_choice("post_annotation", self.post_annotation, get_args(Posting))
        check_choice("unmatched", self.unmatched, get_args(Unmatched))
        self._check_names()
        for region in self.regions:
            if len(region) < 3:
                raise ConfigError("regions", region, "a rectangle or polygons of 3 points or more")
        self._check_outputs()

    def _check_outputs(self) -> None:
        check_kind_of_file("output_table", self.output_table, ".csv")
        check_kind_of_file("output_report", self.output_report, ".html", ".htm")
        if len(set(map(real_place, self.outputs))) < len(self.outputs):
            raise ConfigError("outputs", ", ".join(map(str, self.outputs)), "different files")
        if not self.outputs and not self.posts:
            raise ConfigError("outputs", "none", "at least one file to write, as output_report")

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        asked = (self.output_report, self.output_table, self.output_annotation)
        return tuple(path for path in asked if path)

    @property
    def posts(self) -> bool:
        """Whether layers of errors are put on the slides."""
        return bool(self.api_url) and self.post_annotation == "auto"

    def _check_names(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("classes", ", ".join(self.classes), "different names")
        if BACKGROUND in self.classes:
            raise ConfigError(
                "classes", BACKGROUND, "without the background, which is where none is"
            )
        for name in ("ignore_class", "region_layer"):
            if getattr(self, name) in self.classes:
                raise ConfigError(name, getattr(self, name), "none of the classes")
        if self.region_layer and self.region_layer == self.ignore_class:
            raise ConfigError("region_layer", self.region_layer, "not the ignored layer")
        for alias in self.aliases:
            other, _, name = (part.strip() for part in alias.partition("="))
            is_class = name in self._meanings if self.classes else name != BACKGROUND
            if not other or not name or not is_class:
                raise ConfigError("aliases", alias, "name=class, with one of the classes")

    @property
    def _meanings(self) -> tuple[str, ...]:
        return (*self.classes, self.ignore_class, self.region_layer)
