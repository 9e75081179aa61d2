"""What the making of pseudo masks is asked: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.checks import check_at_least, check_choice, check_range
from deeplab.config.classify_request import AS_THE_MODEL
from deeplab.config.paths import coerce_paths
from deeplab.errors import ConfigError

# What says which classes an image has: numbers in its name, a table, its folder, or the model.
PresenceSource = Literal["names", "table", "folders", "scores"]
Activation = Literal["grad_cam", "cam"]
Background = Literal["auto", "none", "bright", "tissue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoMaskRequest:
    """Draw for each image which of its classes each pixel speaks most for.

    Attributes:
        source: folder of images, or a table or list of them.
        model: bundle of a patch classifier.
        output: folder in which a folder for each layer is made, as PM_b4_5.
        labels: what says which classes an image has; no pixel gets another one.
        threshold: of labels "scores": score from which a patch has a class; -1: what the model
            keeps.
        layers: short names of the layers to draw; none: all that are usual for the encoder.
        activation: "grad_cam" as it is, or "cam", for which below 0 is 0 and which only the last
            layer of an encoder has whose classes are read from the mean of a map.
        background: what no class is drawn on: what is brighter than 200 (of colours), what is no
            tissue, or nothing; "auto" is "bright" for a model of colours, else "tissue".
        slide_mpp: um per pixel of the images, where they do not say it or say it wrong.
        work_mpp: um per pixel at which the network works; 0: what the model was trained at.
        channels: of a model of channels, what the images call them: "name=name or index there", or
            only these in the model's order; empty: as the model does.
        intensity_window: values of the channels that become 0 and 255, as "low:high" or, of one
            channel, "name=low:high"; empty: as in the model's training.
        stride: work pixels from one patch of an image to the next; 0: the side of a patch.
        batch_size: patches a step.
        gpu: number of the GPU, -1 for the CPU.
    """

    source: Path
    model: Path
    output: Path
    labels: PresenceSource = "names"
    threshold: float = AS_THE_MODEL
    layers: tuple[str, ...] = ()
    activation: Activation = "grad_cam"
    background: Background = "auto"
    slide_mpp: float = 0.0
    work_mpp: float = 0.0
    channels: tuple[str, ...] = ()
    intensity_window: tuple[str, ...] = ()
    stride: int = 0
    batch_size: int = 8
    gpu: int = 0

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_choice("labels", self.labels, get_args(PresenceSource))
        check_choice("activation", self.activation, get_args(Activation))
        check_choice("background", self.background, get_args(Background))
        if self.threshold != AS_THE_MODEL:
            check_range("threshold", self.threshold, 0, 1)
            if self.labels != "scores":
                must = "left away where labels is not scores"
                raise ConfigError("threshold", self.threshold, must)
        for name in ("slide_mpp", "work_mpp", "stride"):
            check_at_least(name, getattr(self, name), 0)
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("gpu", self.gpu, -1)
        if self.output.exists() and not self.output.is_dir():
            raise ConfigError("output", self.output, "a folder, or to be made")

    @property
    def wsi_downsample(self) -> float:
        """A multiple of level 0 instead of um per pixel: is not asked for."""
        return 0.0
