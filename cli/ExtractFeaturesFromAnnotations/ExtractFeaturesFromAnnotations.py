"""ExtractFeaturesFromAnnotations: annotated slides in, measurements of their objects out."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from deeplab.config.features_request import FeaturesRequest
from deeplab.config.progress import Progress
from deeplab.errors import DeviceError
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: FeaturesRequest, progress: Progress) -> str:
    """Measure the objects and say in a few lines how many there were."""
    # A form, a help text and a wrong number are answered without NumPy.
    if not find_spec("histomicstk"):
        raise DeviceError("measuring needs HistomicsTK: pip install --no-deps histomicstk==1.4.0")
    from deeplab.features.extract import extract_features  # noqa: PLC0415

    return extract_features(request, progress).summary()


TASK = Task(
    name="ExtractFeaturesFromAnnotations",
    command="features",
    request=FeaturesRequest,
    aliases=CliAliases(
        fields={
            "inputImageFile": "source",
            "inputFolder": "folder",
            "outputAnnotationFile": "output_annotation",
            "girderApiUrl": "api_url",
            "girderToken": "token",
        },
        flags={"--xlsx": "output_workbook", "--csv": "output_table", "--labels": "slide_labels"},
    ),
    run=run,
    when_cancelled="no file was written",
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
