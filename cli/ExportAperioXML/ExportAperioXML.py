"""ExportAperioXML: the layers of slides in, a file for each slide out."""

from __future__ import annotations

import sys

from deeplab.config.export_annotations_request import ExportAnnotationsRequest
from deeplab.config.progress import Progress
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: ExportAnnotationsRequest, progress: Progress) -> str:
    """Write the files and say what is in each and what the format cannot carry."""
    # A form, a help text and a wrong number are answered without NumPy.
    from deeplab.exchange.export import export_annotations  # noqa: PLC0415

    return export_annotations(request, progress).summary()


TASK = Task(
    name="ExportAperioXML",
    command="export-annotations",
    request=ExportAnnotationsRequest,
    aliases=CliAliases(
        fields={
            "inputFolder": "source",
            "outputFile": "output",
            "girderApiUrl": "api_url",
            "girderToken": "token",
        },
        flags={"--to": "output_format"},
        words=("outputFile",),
    ),
    run=run,
    when_cancelled="nothing was written",
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
