"""SegmentWSI: a slide and a model in, annotation layers out."""

from __future__ import annotations

import sys

from deeplab.config.progress import Progress
from deeplab.config.requests import SegmentRequest
from deeplab_cli.machine import NETWORK
from deeplab_cli.parser import Habits
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: SegmentRequest, progress: Progress) -> str:
    """Segment the slide and say in a few lines what was found."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    from deeplab.inference.segment import segment_slide  # noqa: PLC0415

    return segment_slide(request, progress).summary()


# Where DeepLab-WSI's form called a parameter otherwise, its name is the form's here, too, so that
# REST calls of its users go on working; the further flags are those of its scripts.
HABITS = Habits(
    fields={
        "inputImageFile": "slide",
        "inputModelFile": "model",
        "outputAnnotationFile": "output_annotation",
        "region": "regions",
        "patch_size": "tile_size",
        "remove_border": "halo",
        "girderApiUrl": "api_url",
        "girderToken": "token",
    },
    flags={
        "--checkpoint_dir": "inputModelFile",
        "--vis_batch_size": "batch_size",
        "--vis_crop_size": "patch_size",
        "--vis_remove_border": "remove_border",
    },
    gone={
        "--dataset_dir": "name one slide as the first word, and give one command for each",
        "--heatmap_stride": "give --heatmap_um, the side of a heatmap cell in um",
        "--min_size": "give --min_area_um2, in square um whatever the scale",
        "--num_classes": "the model says it; leave it away",
        "--simplify_contours": "give --simplify_um, by how many um an outline may move",
        "--tile_step": "the step follows from --patch_size and --remove_border; leave it away",
        "--tile_stride": "the step follows from --patch_size and --remove_border; leave it away",
    },
)

TASK = Task(
    name="SegmentWSI",
    command="segment",
    request=SegmentRequest,
    habits=HABITS,
    run=run,
    when_cancelled="nothing was written",
    need=lambda _: NETWORK,
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
