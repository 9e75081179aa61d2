"""The numbers and pictures of a training for TensorBoard.

`tf.summary.scalar` and `image` are TensorBoard's own and need it installed; the events that they
write are tensors with a plug-in's name beside them, and TensorFlow alone can write those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import tensorflow as tf

from deeplab.config.classes import ClassList
from deeplab.errors import OutputError
from deeplab.slides.pyramid import Rgb
from deeplab.training.history import StepNote
from deeplab.training.validation import Validation

PLUGINS = {"scalars": 1, "images": 3}  # data classes: a number, a row of blobs


class EventLog:
    """Events in a folder; a run that is taken up again adds a file of its own.

    Args:
        folder: made where it is missing.
        classes: whose figures are written.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, classes: ClassList) -> None:
        self._labels = ("background", *classes.names)
        try:
            self._writer = tf.summary.create_file_writer(str(folder))
        except tf.errors.OpError as error:
            raise OutputError(folder, error.message) from error

    def add_steps(self, note: StepNote) -> None:
        """Loss, learning rate and waiting of some steps."""
        numbers = {
            "training/loss": note.loss,
            "training/learning rate": note.learning_rate,
            "training/share of time waiting for patches": note.waiting_share,
        }
        self._numbers(numbers, note.step)

    def add_validation(self, validation: Validation) -> None:
        """Scores of all held-out slides together, by class."""
        pooled = validation.pooled
        numbers = {"held out/mean IoU": pooled.mean_iou, "held out/accuracy": pooled.accuracy}
        for label, name in enumerate(self._labels):
            numbers[f"Dice/{name}"] = float(pooled.dice[label])
            numbers[f"IoU/{name}"] = float(pooled.iou[label])
        self._numbers(numbers, validation.step)

    def add_picture(self, name: str, rgb: Rgb, step: int) -> None:
        """A picture, uint8 (height, width, 3)."""
        height, width = rgb.shape[:2]
        png = tf.io.encode_png(np.ascontiguousarray(rgb)).numpy()
        blobs = tf.constant([str(width).encode(), str(height).encode(), png])
        with self._writer.as_default():
            tf.summary.write(f"examples/{name}", blobs, step=step, metadata=_metadata("images"))
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
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

    def _numbers(self, numbers: Mapping[str, float], step: int) -> None:
        with self._writer.as_default():
            for name, number in numbers.items():
                if not math.isnan(number):
                    value = tf.constant(number, tf.float32)
                    tf.summary.write(name, value, step=step, metadata=_metadata("scalars"))
        self._writer.flush()


def _metadata(plugin: str) -> tf.compat.v1.SummaryMetadata:
    metadata = tf.compat.v1.SummaryMetadata(data_class=PLUGINS[plugin])
    metadata.plugin_data.plugin_name = plugin
    return metadata
