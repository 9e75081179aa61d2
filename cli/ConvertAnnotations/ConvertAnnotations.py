"""ConvertAnnotations: a file of annotations in, the same in another format out."""

from __future__ import annotations

import sys

from deeplab.config.convert_request import ConvertRequest
from deeplab.config.progress import Progress
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: ConvertRequest, progress: Progress) -> str:  # noqa: ARG001  every task is run alike
    """Convert the file and say what was in it and what the new format cannot carry."""
    # A form, a help text and a wrong number are answered without NumPy.
    from deeplab.annotations.convert import convert  # noqa: PLC0415

    return convert(request).summary()


TASK = Task(
    name="ConvertAnnotations",
    command="convert",
    request=ConvertRequest,
    aliases=CliAliases(
        fields={"inputAnnotationFile": "source", "outputFile": "output"},
        flags={"--from": "source_format", "--to": "output_format"},
        # Girder would put what a task uploads on the input that has a place.
        words=("inputAnnotationFile", "outputFile"),
    ),
    run=run,
    when_cancelled="nothing was written",
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
