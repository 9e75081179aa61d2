"""One run of training: its steps, its checks on held-out slides, its log."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.config.classes import ClassList
from deeplab.config.models import ModelConfig
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.batches import batches
from deeplab.data.sampling import Patch, PatchSampler
from deeplab.errors import OutputError, TrainingError
from deeplab.evaluation.semantic import Confusion
from deeplab.models.registry import family_of
from deeplab.training.identity import agreed_settings
from deeplab.training.loop import Trainer, make_optimizer
from deeplab.training.remote_checkpoints import RemoteCheckpoints
from deeplab.training.validate import evaluate

log = logging.getLogger(__name__)

LOG_EVERY = 20  # steps
LOG_COLUMNS = ("step", "loss", "validation_mean_iou")


def work_folder(request: TrainRequest) -> Path:
    """Where a run keeps its checkpoints and its log."""
    return request.work_folder or request.output_model.with_suffix(".work")


class Run:
    """A run and the folder where it keeps its checkpoints and its log.

    Attributes:
        loss: mean of the last steps.
        metrics: of the last check on held-out slides; empty where none is held out.
    """

    def __init__(
        self,
        *,
        request: TrainRequest,
        config: ModelConfig,
        network: keras.Model,
        classes: ClassList,
        held_out: Sequence[Patch],
        remote: RemoteCheckpoints | None,
    ) -> None:
        self.loss = float("nan")
        self.metrics: dict[str, float] = {}
        self._request, self._classes, self._held_out = request, classes, held_out
        self._folder, self._remote = work_folder(request), remote
        self._claim_folder()
        family = family_of(config)
        self._trainer = Trainer(
            network=network,
            optimizer=make_optimizer(request, network),
            losses=family.losses(config, request),
            folder=self._folder,
            after_save=self._send,
        )
        predictor = family.predictor(network, tile=config.crop_size, maps=("labels",))
        answer = tf.function(lambda rgb: predictor(rgb, training=False)["labels"])
        self._predict: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = lambda rgb: answer(
            tf.constant(rgb)
        ).numpy()

    def fit(self, sampler: PatchSampler, progress: Progress) -> None:
        """Take all steps that are not yet taken.

        Raises:
            TrainingError: the loss is no longer a number.
            OutputError: a checkpoint cannot be written.
        """
        request, recent = self._request, []
        first = self._trainer.restore()
        if first:
            log.info("going on from step %d", first)

        def after_step(step: int, loss: float) -> None:
            recent.append(loss)
            if step % LOG_EVERY == 0 or step == request.steps:
                self.loss = float(np.mean(recent))
                recent.clear()
                due = step % request.validate_every == 0 or step == request.steps
                self._note(step, self._check() if due else None)
            progress("train", step, request.steps)

        steps = batches(
            sampler.patch,
            size=request.batch_size,
            steps=range(first, request.steps),
            threads=os.cpu_count() or 1,
        )
        try:
            self._trainer.fit(steps, after_step)
        except TrainingError:
            raise  # the weights are spoilt: what was saved before stays
        except BaseException:
            self._trainer.save()  # stopped from outside: nothing that was learnt is lost
            raise
        self._trainer.save()
        if first == request.steps:
            self._check()

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints: slides may have changed by the time the same is asked again."""
        for path in [*self._folder.glob("ckpt-*"), self._folder / "checkpoint"]:
            path.unlink(missing_ok=True)

    def _send(self, step: int) -> None:
        if self._remote:
            found = (path for path in self._folder.iterdir() if path.is_file())
            self._remote.send(step, {path.name: path for path in found})

    def _claim_folder(self) -> None:
        text = agreed_settings(self._request)
        mark = self._folder / "request.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if (self._folder / "checkpoint").exists() and mark.read_text() != text:
                raise OutputError(
                    self._folder,
                    "it holds checkpoints of a training with other settings; "
                    "remove them or choose another work folder",
                )
            mark.write_text(text)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(self._folder, error.strerror or str(error)) from error

    def _check(self) -> Confusion | None:
        if not self._held_out:
            return None
        confusion = evaluate(
            self._predict,
            self._held_out,
            label_count=self._classes.label_count,
            batch_size=self._request.batch_size,
        )
        self.metrics = {"mean_iou": confusion.mean_iou}
        for label, name in enumerate(self._classes.names, start=1):
            self.metrics[f"dice {name}"] = float(confusion.dice[label])
            self.metrics[f"iou {name}"] = float(confusion.iou[label])
        return confusion

    def _note(self, step: int, confusion: Confusion | None) -> None:
        path = self._folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            rows = csv.writer(file)
            if fresh:
                rows.writerow(LOG_COLUMNS)
            rows.writerow(
                [step, f"{self.loss:.6f}", f"{confusion.mean_iou:.6f}" if confusion else ""]
            )
        if confusion:
            found = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
            log.info("step %d: loss %.4f, held out: %s", step, self.loss, found)
