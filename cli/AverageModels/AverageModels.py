"""AverageModels: models of one network in, their mean out."""

from __future__ import annotations

import sys

from deeplab.config.progress import Progress
from deeplab.config.requests import AverageRequest
from deeplab.native_log import remarks_left_out
from deeplab_cli.machine import NETWORK
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: AverageRequest, progress: Progress) -> str:
    """Average the models and say of which the mean is."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    with remarks_left_out():
        from deeplab.training.average import average_models  # noqa: PLC0415

    return average_models(request, progress).summary()


TASK = Task(
    name="AverageModels",
    command="average",
    request=AverageRequest,
    aliases=CliAliases(
        fields={
            "inputFolder": "source",
            "girderApiUrl": "api_url",
            "girderToken": "token",
        },
        flags={"--output": "output_model"},
        more_words="models",
    ),
    run=run,
    when_cancelled="nothing was written",
    need=lambda _: NETWORK,
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
