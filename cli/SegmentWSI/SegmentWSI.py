"""SegmentWSI: a slide and a model in, annotation layers out."""

from __future__ import annotations

import sys

from deeplab.config.progress import Progress
from deeplab.config.requests import SegmentRequest
from deeplab_cli.task import Task, leave, run_task


def run(request: SegmentRequest, progress: Progress) -> str:
    """Segment the slide and say in a few lines what was found."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    from deeplab.inference.segment import segment_slide  # noqa: PLC0415

    return segment_slide(request, progress).summary()


TASK = Task(
    name="SegmentWSI",
    command="segment",
    request=SegmentRequest,
    fields={
        "inputImageFile": "slide",
        "inputModelFile": "model",
        "outputAnnotationFile": "output_annotation",
        "region": "regions",
        "girderApiUrl": "api_url",
        "girderToken": "token",
    },
    run=run,
    when_cancelled="nothing was written",
)

if __name__ == "__main__":
    leave(run_task(TASK, sys.argv[1:]))
