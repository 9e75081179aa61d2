"""SegmentWSI: a slide and a model in, annotation layers out."""

from __future__ import annotations

import sys

from deeplab.config.progress import Progress
from deeplab.config.requests import SegmentRequest
from deeplab_cli.machine import NETWORK, process_age_s
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: SegmentRequest, progress: Progress) -> str:
    """Segment the slide, or each of a folder or a list, and say in a few lines what was found."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    from deeplab.inference.segment_each import segment_each  # noqa: PLC0415

    return segment_each(request, progress, ran_s=process_age_s())


# Where DeepLab-WSI's form called a parameter otherwise, its name is the form's here, too, so that
# REST calls of its users go on working; the further flags are those of its scripts, and of
# HoVer-Net's `run_infer.py`.
ALIASES = CliAliases(
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
        "--draw_dot": "overlay_dots",
        "--input_dir": "inputImageFile",
        "--input_mask_dir": "tissue_mask",
        "--model_path": "inputModelFile",
        "--vis_batch_size": "batch_size",
        "--vis_crop_size": "patch_size",
        "--vis_remove_border": "remove_border",
    },
    removed={
        "--dataset_dir": "name the folder of the slides, or a list of them, as the first word",
        "--ambiguous_size": "the model says its halo; --remove_border gives another",
        "--cache_path": "nothing is kept between runs; leave it away",
        "--chunk_shape": "slides are read tile by tile; leave it away",
        "--heatmap_stride": "give --heatmap_um, the side of a heatmap cell in um",
        "--mem_usage": "memory does not grow with the slide; leave it away",
        "--min_size": "give --min_area_um2, in square um whatever the scale",
        "--model_mode": "the model says it; leave it away",
        "--nr_types": "the model says it, and import-checkpoint checks it; leave it away",
        "--nr_inference_workers": "all processors compute; leave it away",
        "--nr_post_proc_workers": "all processors compute; leave it away",
        "--num_classes": "the model says it; leave it away",
        "--output_dir": "name each result, as --annotation 'DIR/{slide}.mat', --overlay "
        "'DIR/{slide}.png'",
        "--proc_mag": "give --work_mpp in um per pixel: 0.25 for 40, 0.5 for 20",
        "--save_mask": "give --mask 'DIR/{slide}.mask.tif', of what was found",
        "--save_raw_map": "what the network gives is not written; --save_heatmap shows its "
        "probabilities",
        "--save_qupath": "give --geojson 'DIR/{slide}.geojson', which QuPath opens",
        "--save_thumb": "give --overlay 'DIR/{slide}.png'",
        "--simplify_contours": "give --simplify_um, by how many um an outline may move",
        "--tile_shape": "give --patch_size, the side of what is read at once, in work pixels",
        "--tile_step": "the step follows from --patch_size and --remove_border; leave it away",
        "--tile_stride": "the step follows from --patch_size and --remove_border; leave it away",
        "--type_info_path": "give it to import-checkpoint: the model keeps names and colours",
    },
)

TASK = Task(
    name="SegmentWSI",
    command="segment",
    request=SegmentRequest,
    aliases=ALIASES,
    run=run,
    when_cancelled="nothing was written",
    need=lambda _: NETWORK,
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
