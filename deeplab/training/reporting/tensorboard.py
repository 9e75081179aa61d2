"""The numbers and pictures of a training for TensorBoard.

`tf.summary.scalar` and `image` are TensorBoard's own and need it installed; the events that they
write are tensors with a plug-in's name beside them, and TensorFlow alone can write those.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import numpy as np
import tensorflow as tf

from deeplab.config.classes import ClassList
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import OutputError, ServerError, SlideError
from deeplab.evaluation.object_tally import ObjectTally
from deeplab.evaluation.patch_tally import PatchTally
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import WorkBox
from deeplab.training.history import History
from deeplab.training.reporting.examples import Picture, region_panels
from deeplab.training.validation.results import Validation

EXAMPLES = 4
PLUGINS = {"scalars": 1, "images": 3}  # data classes: a number, a row of blobs


class EventLog:
    """Events in a folder; a run that is taken up again adds a file of its own.

    Args:
        folder: made, with a file in it, when there is something to be written.
        classes: whose figures are written.
    """

    def __init__(self, folder: Path, classes: ClassList) -> None:
        self._folder, self._classes = folder, classes
        self._labels = ("background", *classes.names)
        self._shown: list[tuple[str, WorkBox]] = []

    def add(self, news: History) -> None:
        """Loss and its terms, learning rate and waiting of steps; scores of validations, by class.

        Raises:
            OutputError: the folder cannot be written.
        """
        for note in news.steps:
            numbers = {
                "training/loss": note.loss,
                "training/learning rate": note.learning_rate,
                "training/share of time waiting for patches": note.waiting_share,
            }
            numbers |= {f"loss/{name}": value for name, value in note.terms.items()}
            self._numbers(numbers, note.step)
        for check in news.checks:
            told = EVENTS_OF[check.tally.kind](check.tally, self._labels)
            self._numbers(told, check.step)

    def add_examples(self, found: Validation, slides: Mapping[str, AnnotatedSlide]) -> None:
        """A few regions of the held-out slides, the same ones at every validation.

        A slide that cannot be read is passed over: the next validation sets it aside.

        Args:
            found: the newest validation.
            slides: those that were judged, by name.

        Raises:
            OutputError: the folder cannot be written.
        """
        if not self._shown:
            self._shown = [(region.slide, region.box) for region in found.typical(EXAMPLES)]
        there = {(region.slide, region.box): region for region in found.regions}
        for number, place in enumerate(self._shown, start=1):
            if place in there:
                with contextlib.suppress(SlideError, ServerError):
                    panels, _ = region_panels(there[place], slides[place[0]], self._classes)
                    self.add_picture(f"{number} {place[0]}", panels, found.step)

    def add_picture(self, name: str, rgb: Picture, step: int) -> None:
        """A picture, uint8 (height, width, 3).

        Raises:
            OutputError: the folder cannot be written.
        """
        height, width = rgb.shape[:2]
        png = tf.io.encode_png(np.ascontiguousarray(rgb)).numpy()
        blobs = tf.constant([str(width).encode(), str(height).encode(), png])
        with self._writer.as_default():
            tf.summary.write(f"examples/{name}", blobs, step=step, metadata=_metadata("images"))
        self._writer.flush()

    def close(self) -> None:
        """No more is written."""
        if "_writer" in vars(self):
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def _writer(self) -> tf.summary.SummaryWriter:
        try:
            # As bytes: a name need not be UTF-8, which TensorFlow wants of text.
            return tf.summary.create_file_writer(os.fsencode(self._folder))
        except tf.errors.OpError as error:
            raise OutputError(self._folder, error.message) from error

    def _numbers(self, numbers: Mapping[str, float], step: int) -> None:
        with self._writer.as_default():
            for name, number in numbers.items():
                if not math.isnan(number):
                    value = tf.constant(number, tf.float32)
                    tf.summary.write(name, value, step=step, metadata=_metadata("scalars"))
        self._writer.flush()


def _events_of_labels(found: Confusion, names: Sequence[str]) -> dict[str, float]:
    numbers = {"held out/mean IoU": found.mean_iou, "held out/accuracy": found.accuracy}
    for label, name in enumerate(names):
        numbers[f"Dice/{name}"] = float(found.dice[label])
        numbers[f"IoU/{name}"] = float(found.iou[label])
    return numbers


def _events_of_objects(found: ObjectTally, names: Sequence[str]) -> dict[str, float]:
    every = found.sums[0]
    numbers = {
        "held out/PQ": found.score,
        "held out/DQ": every.detection_quality,
        "held out/SQ": every.segmentation_quality,
        "held out/AJI+": every.aji_plus,
    }
    of_classes = zip(names[1:], found.class_scores.tolist(), strict=True)
    return numbers | {f"PQ/{name}": value for name, value in of_classes}


def _events_of_patches(found: PatchTally, names: Sequence[str]) -> dict[str, float]:
    limits = found.thresholds
    numbers = {
        "held out/macro F1": found.score,
        "held out/micro F1": found.micro(limits)[2],
        "held out/calibration error": found.calibration_error,
    }
    for label, name in enumerate(names[1:]):
        numbers[f"F1/{name}"] = float(found.class_scores[label])
        numbers[f"AUROC/{name}"] = float(found.auroc[label])
    return numbers


# What is told of a validation, by the kind of its tally; names are those of the labels.
EVENTS_OF: Final[Mapping[str, Callable[[Any, Sequence[str]], dict[str, float]]]] = MappingProxyType(
    {"labels": _events_of_labels, "objects": _events_of_objects, "patch": _events_of_patches}
)


def _metadata(plugin: str) -> tf.compat.v1.SummaryMetadata:
    metadata = tf.compat.v1.SummaryMetadata(data_class=PLUGINS[plugin])
    metadata.plugin_data.plugin_name = plugin
    return metadata
