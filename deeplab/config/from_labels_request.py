"""What a training from labels of patches is asked: one frozen value, checked when it is made."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from deeplab.config.checks import (
    check_at_least,
    check_choice,
    check_girder_id,
    check_kind_of_file,
    check_range,
)
from deeplab.config.classes import ClassList
from deeplab.config.families import (
    classifying_network,
    network_config,
)
from deeplab.config.gate_request import THRESHOLD
from deeplab.config.network import labels_pixels
from deeplab.config.network_settings import value_of_text
from deeplab.config.paths import coerce_paths
from deeplab.config.pseudo_mask_request import Background, PseudoMaskRequest
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError

PatchLabels = Literal["regions", "names", "table"]
NAMED_BY = 12  # hexadecimal digits of a digest in the name of a folder
OwnRecipe = Literal["default", "wsss"]
# Settings of the trainings that follow from what is asked of the whole.
TOLD = {
    *("source", "classes", "colours", "labels", "label_path", "label_sets", "mask_values"),
    *("aliases", "label_map", "ignore_class", "unannotated", "exhaustive_layer", "untyped_layer"),
    *("valid_slide_path", "valid_label_path", "train_centers", "val_centers", "folds", "fold"),
    *("compare_without_companion", "dry_run", "api_url", "token", "post_worst", "slide_mpp"),
    *("work_mpp", "wsi_downsample", "resolution", "patch_size", "channels", "intensity_window"),
    *("output_model", "output_report", "work_folder", "checkpoint_folder", "checkpoint_minutes"),
    *("workers", "worker_index", "gpu", "seed", "recipe", "hours", "fixed", "corrected_only"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FromLabelsRequest:
    """Learn to segment from patches of which only the classes are known.

    Attributes:
        source: folder of annotated slides, or its id in Girder; of patches, their folder, a table
            (CSV) of them, or a folder with `train/` and, where there are, `val/img`, `val/mask`,
            `test/img` and `test/mask`.
        output_model: bundle to write.
        classes: names, in the order of the numbers that label a patch.
        labels: what says the classes of a patch: the names of "regions" that are drawn on slides,
            numbers in its own name ("names"), or a "table".
        slide_mpp: um per pixel of slides or patches that do not say it; 0: as they say.
        work_mpp: um per pixel at which both networks work.
        patch_size: side of what both networks learn from at once, work pixels.
        classifier_model: bundle of a first stage that has been trained; None: it is trained here.
        classifier: settings of its training, each "name=value" as of a training of a network.
        recipe: "wsss" trains the classifier as WSSS-Tissue did, where `classifier` says no other.
        segmenter: likewise of the training of the second stage.
        background: what no class is drawn on in pseudo masks.
        label_set_weights: what the pseudo masks of the last layer, of the one before it, ... count
            for.
        gate_threshold: score of the classifier that a class must exceed to be in a patch; 0: the
            model has no gate.
        true_masks: folder of masks of the patches to learn from: pseudo masks are compared with
            them, and a second network learns from them what full supervision gives. None: there
            are none.
        output_report: HTML page to write.
        work_folder: stages are kept here; None: beside the model.
        checkpoint_minutes: at most this much time is lost when a run is killed.
        checkpoint_folder: Girder folder to which stages that are done and checkpoints go up, and
            from which a run goes on.
        seed: of everything that is drawn.
        gpu: number of the GPU, -1 for the CPU.
        api_url: of the Girder server that has the slides; "": they are files.
        token: for that server.
    """

    source: str
    output_model: Path
    classes: tuple[str, ...]
    labels: PatchLabels = "regions"
    slide_mpp: float = 0.0
    work_mpp: float = 0.5
    patch_size: int = 224
    classifier_model: Path | None = None
    classifier: tuple[str, ...] = ()
    recipe: OwnRecipe = "default"
    segmenter: tuple[str, ...] = ()
    background: Background = "auto"
    label_set_weights: tuple[float, ...] = (0.6, 0.2, 0.2)
    gate_threshold: float = THRESHOLD
    true_masks: Path | None = None
    output_report: Path | None = None
    work_folder: Path | None = None
    checkpoint_minutes: float = 5.0
    checkpoint_folder: str = ""
    seed: int = 0
    gpu: int = 0
    api_url: str = ""
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_choice("labels", self.labels, get_args(PatchLabels))
        check_choice("recipe", self.recipe, get_args(OwnRecipe))
        check_choice("background", self.background, get_args(Background))
        for name, least in (
            ("slide_mpp", 0),
            ("work_mpp", 0.001),
            ("patch_size", 33),
            ("checkpoint_minutes", 0),
            ("seed", 0),
            ("gpu", -1),
        ):
            check_at_least(name, getattr(self, name), least)
        if self.api_url and self.labels != "regions":
            raise ConfigError("labels", self.labels, "regions for slides of a server")
        if self.checkpoint_folder:
            check_girder_id("checkpoint_folder", self.checkpoint_folder, "a folder")
            if not self.api_url:
                must = "left away where no server has the slides"
                raise ConfigError("checkpoint_folder", self.checkpoint_folder, must)
        check_range("gate_threshold", self.gate_threshold, 0, 1)
        if not self.label_set_weights:
            raise ConfigError("label_set_weights", "", "a number above 0 for each layer")
        for weight in self.label_set_weights:
            if not weight > 0:
                raise ConfigError("label_set_weights", weight, "above 0")
        if self.classifier_model and (self.classifier or self.recipe != "default"):
            must = "left away where a classifier_model has been trained"
            raise ConfigError("classifier", ",".join(self.classifier) or self.recipe, must)
        check_kind_of_file("output_model", self.output_model, ".zip")
        check_kind_of_file("output_report", self.output_report, ".html", ".htm")
        # All trainings are checked before the first begins.
        classes = ClassList.named(self.classes)
        network_config(self.first_stage(self.source, self.work), classes)
        second = self.second_stage(self.source, self.work, label_path=None)
        if not labels_pixels(network_config(second, classes)):
            must = "that of a network that gives every pixel a class"
            raise ConfigError("segmenter", f"network={second.network}", must)

    @property
    def work(self) -> Path:
        """The folder in which stages are kept."""
        return self.work_folder or self.output_model.with_suffix(".work")

    def stage_folder(self, called: str, made_of: str) -> Path:
        """Return the folder of a stage: another one where it is made of something else."""
        return self.work / f"{called}-{hashlib.sha256(made_of.encode()).hexdigest()[:NAMED_BY]}"

    @property
    def labels_of_patches(self) -> Literal["names", "table"]:
        """What says the classes of a patch that is a file, as those of regions become."""
        return "names" if self.labels == "names" else "table"

    def first_stage(self, source: str, folder: Path) -> TrainRequest:
        """Return the training of the classifier.

        Args:
            source: of the patches.
            folder: for its model and checkpoints.
        """
        given = _settings("classifier", self.classifier)
        options = given.pop("network_options", ())
        if not any(option.startswith("problem=") for option in options) and len(self.classes) > 1:
            options = ("problem=multi_label", *options)
        return TrainRequest(
            **{
                "network": classifying_network(),
                **given,
                **self._shared(source, folder, "classifier"),
                "network_options": options,
                "recipe": self.recipe,
                "labels": self.labels_of_patches,
            }
        )

    def second_stage(
        self,
        source: str,
        folder: Path,
        *,
        label_path: Path | None,
        sets: Sequence[str] = (),
        held_out: tuple[str, Path] | None = None,
    ) -> TrainRequest:
        """Return the training of the network that segments.

        Args:
            source: folder of the patches.
            folder: for its model and checkpoints.
            label_path: of the masks, or of the folders of the sets.
            sets: names of these, each with its weight; none: one mask a patch.
            held_out: folders of patches and of their true masks; None: a share of the patches.
        """
        given = _settings("segmenter", self.segmenter)
        if held_out:
            path, masks = held_out
            given |= {"valid_slide_path": path, "valid_label_path": masks}
        return TrainRequest(
            **{
                **given,
                **self._shared(source, folder, "segmenter"),
                "label_path": label_path,
                "label_sets": tuple(sets),
                "mask_values": "from_zero",
            }
        )

    def pseudo_masks(self, source: str, model: Path, output: Path) -> PseudoMaskRequest:
        """Return the drawing of pseudo masks of patches by a classifier."""
        return PseudoMaskRequest(
            source=Path(source),
            model=model,
            output=output,
            labels=self.labels_of_patches,
            background=self.background,
            slide_mpp=self.slide_mpp,
            gpu=self.gpu,
        )

    def _shared(self, source: str, folder: Path, called: str) -> Mapping[str, Any]:
        return {
            "source": source,
            "classes": self.classes,
            "slide_mpp": self.slide_mpp,
            "work_mpp": self.work_mpp,
            "patch_size": self.patch_size,
            "output_model": folder / f"{called}.zip",
            "output_report": folder / f"{called}.html",
            "work_folder": folder / called,
            "checkpoint_minutes": self.checkpoint_minutes,
            "seed": self.seed,
            "gpu": self.gpu,
        }


def _settings(called: str, entries: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a training that texts give, each of its type.

    Of a list of names each entry adds one, of a list of numbers they stand with blanks between.

    Raises:
        ConfigError: an entry names none that can be set, or has no value of its type.
    """
    kinds = typing.get_type_hints(TrainRequest)
    told = TOLD | ({"network"} if called == "classifier" else set())
    known = sorted({each.name for each in fields(TrainRequest)} - told)
    values: dict[str, Any] = {}
    for entry in entries:
        name, equals, text = (part.strip() for part in entry.partition("="))
        if not equals or name not in known:
            must = f"name=value with one of {', '.join(known)}"
            raise ConfigError(called, entry, must)
        kind = kinds[name]
        if kind == tuple[str, ...]:
            values[name] = (*values.get(name, ()), text)
        elif name in values:
            raise ConfigError(called, entry, f"the only one that gives {name}")
        elif Path in get_args(kind):
            values[name] = Path(text)
        else:
            values[name] = value_of_text(name, text, kind)
    return values
