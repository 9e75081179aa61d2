"""EvaluateSegmentation: a prediction and a reference in, how well they agree out."""

from __future__ import annotations

import sys

from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.config.progress import Progress
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: EvaluateRequest, progress: Progress) -> str:
    """Compare and say in a few lines how well it agrees."""
    # A form, a help text and a wrong number are answered without NumPy.
    from deeplab.evaluation.evaluate import evaluate  # noqa: PLC0415

    return evaluate(request, progress).summary()


TASK = Task(
    name="EvaluateSegmentation",
    command="evaluate",
    request=EvaluateRequest,
    aliases=CliAliases(
        fields={
            "inputImageFile": "reference",
            "inputPredictionFile": "prediction",
            "inputFolder": "folder",
            "inputSlideFile": "slide",
            "outputAnnotationFile": "output_annotation",
            "region": "regions",
            "girderApiUrl": "api_url",
            "girderToken": "token",
        },
        words=("inputPredictionFile",),
    ),
    run=run,
    when_cancelled="nothing was written",
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
