"""ClassifyPatches: a slide and a patch classifier in, scores of its patches out."""

from __future__ import annotations

import sys

from deeplab.config.classify_request import ClassifyRequest
from deeplab.config.progress import Progress
from deeplab_cli.machine import NETWORK
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: ClassifyRequest, progress: Progress) -> str:
    """Classify the slide, or each image of a folder or a list, and say what was found."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    from deeplab.inference.classify_each import classify_each  # noqa: PLC0415

    return classify_each(request, progress)


ALIASES = CliAliases(
    fields={
        "inputImageFile": "slide",
        "inputModelFile": "model",
        "outputAnnotationFile": "output_annotation",
        "region": "regions",
        "girderApiUrl": "api_url",
        "girderToken": "token",
    },
)

TASK = Task(
    name="ClassifyPatches",
    command="classify",
    request=ClassifyRequest,
    aliases=ALIASES,
    run=run,
    when_cancelled="nothing was written",
    need=lambda _: NETWORK,
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
