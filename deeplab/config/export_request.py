"""What an export of a model is asked to do: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from deeplab.config.checks import check_choice
from deeplab.config.paths import coerce_paths

ExportFormat = Literal["savedmodel", "onnx", "torch", "checkpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Write a model's network in a format that other programs run.

    Attributes:
        model: bundle, or zip or folder of a TensorFlow 1 checkpoint.
        format: "savedmodel", a folder for TensorFlow, "onnx", a file for ONNX runtimes, "torch",
            a state dict for segmentation_models_pytorch, or "checkpoint", a folder with an object
            checkpoint of TensorFlow for SURF-segmentation.
        output: what to write.
    """

    model: Path
    format: ExportFormat
    output: Path

    def __post_init__(self) -> None:
        coerce_paths(self)
        check_choice("format", self.format, get_args(ExportFormat))
