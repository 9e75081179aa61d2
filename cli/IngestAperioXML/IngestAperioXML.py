"""IngestAperioXML: files of annotations beside slides in, layers of these out."""

from __future__ import annotations

import sys

from deeplab.config.ingest_request import IngestRequest
from deeplab.config.progress import Progress
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: IngestRequest, progress: Progress) -> str:
    """Take the files in and say what became of each."""
    # A form, a help text and a wrong number are answered without NumPy.
    from deeplab.exchange.ingest import ingest  # noqa: PLC0415

    return ingest(request, progress).summary()


TASK = Task(
    name="IngestAperioXML",
    command="ingest",
    request=IngestRequest,
    aliases=CliAliases(
        fields={
            "inputFolder": "source",
            "girderApiUrl": "api_url",
            "girderToken": "token",
        },
        flags={"--from": "source_format"},
    ),
    run=run,
    when_cancelled="what is on the slides stays; run it again for the rest",
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
