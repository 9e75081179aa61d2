"""TrainNetwork: a folder of slides with annotations in, a model out."""

from __future__ import annotations

import sys

from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab_cli.task import Task, leave, run_task


def run(request: TrainRequest, progress: Progress) -> str:
    """Train the network and say in a few lines how good it is."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    from deeplab.training.train import train  # noqa: PLC0415

    return train(request, progress).summary()


TASK = Task(
    name="TrainNetwork",
    command="train",
    request=TrainRequest,
    fields={
        "inputFolder": "source",
        "inputModelFile": "initial_model",
        "ignore_label": "ignore_class",
        "girderApiUrl": "api_url",
        "girderToken": "token",
    },
    run=run,
    when_cancelled="the model was not written; checkpoints so far are in the work folder",
)

if __name__ == "__main__":
    leave(run_task(TASK, sys.argv[1:]))
