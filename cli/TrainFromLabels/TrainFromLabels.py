"""TrainFromLabels: regions or patches of which the classes are known in, a model out."""

from __future__ import annotations

import sys

from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import Progress
from deeplab.native_log import remarks_left_out
from deeplab_cli.machine import NETWORK
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: FromLabelsRequest, progress: Progress) -> str:
    """Train all stages and say in a few lines how good the model is."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.training.from_labels import train_from_labels  # noqa: PLC0415
        from deeplab.training.train import train_once  # noqa: PLC0415

    return train_from_labels(request, progress, train_once).summary()


ALIASES = CliAliases(
    words=("output_model",),
    fields={
        "inputFolder": "source",
        "GPU": "gpu",
        "girderApiUrl": "api_url",
        "girderToken": "token",
    },
)

TASK = Task(
    name="TrainFromLabels",
    command="train-from-labels",
    request=FromLabelsRequest,
    aliases=ALIASES,
    run=run,
    when_cancelled="the model was not written; the stages so far are in the work folder",
    need=lambda _: NETWORK,
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
