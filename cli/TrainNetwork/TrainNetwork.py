"""TrainNetwork: a folder of slides with annotations in, a model out."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from deeplab.config.families import learning_networks
from deeplab.config.plan_settings import PLANNED
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.native_log import remarks_left_out
from deeplab_cli.binding import given_fields
from deeplab_cli.cluster import with_cluster
from deeplab_cli.forms import Spec
from deeplab_cli.machine import NETWORK, TABLES
from deeplab_cli.parser import CliAliases
from deeplab_cli.stopping import as_process
from deeplab_cli.task import Task, run_task


def run(request: TrainRequest, progress: Progress) -> str:
    """Train the network and say in a few lines how good it is, or what there is to learn from."""
    # A form, a help text and a wrong number are answered without TensorFlow.
    if request.dry_run:
        with remarks_left_out():
            from deeplab.training.dry_run import look  # noqa: PLC0415

        return look(request, progress)
    with remarks_left_out():
        from deeplab.training.train import train  # noqa: PLC0415

    return train(with_cluster(request, os.environ), progress).summary()


_NETWORK = (
    f"give --network, one of {', '.join(learning_networks())}; its size is in --network_options, as"
    " size=d4"
)

# Where DeepLab-WSI's form called a parameter otherwise, its name is the form's here, too, so that
# REST calls of its users go on working; the further flags are those of its scripts, and of
# SURF-segmentation.
ALIASES = CliAliases(
    # Girder takes it for a failure when an output that has a place is not written, as in a census.
    words=("output_model",),
    fields={
        "inputFolder": "source",
        "inputModelFile": "initial_model",
        "ignore_label": "ignore_class",
        "WSI_downsample": "wsi_downsample",
        "GPU": "gpu",
        "girderApiUrl": "api_url",
        "girderToken": "token",
    },
    flags={
        "--base_learning_rate": "learning_rate",
        "--dataset_dir": "inputFolder",
        "--fine_tune_batch_norm": "batch_norm",
        "--img_size": "patch_size",
        "--initialize_last_layer": "init_last_layer",
        "--log_dir": "work_folder",
        "--model_variant": "backbone",
        "--num_steps": "steps",
        "--slide_path": "inputFolder",
        "--slow_start_learning_rate": "learning_rate_start",
        "--tf_initial_checkpoint": "inputModelFile",
        "--train_batch_size": "batch_size",
        "--train_crop_size": "patch_size",
        "--train_logdir": "work_folder",
        "--training_number_of_steps": "steps",
        "--val_split": "validation_fraction",
        "--weights_path": "inputModelFile",
    },
    many={"label_map": r"\S+:\d+", "train_centers": r"-?\d+", "val_centers": r"-?\d+"},
    removed={
        "--augment_prob": "give --augment, how strongly every patch is changed, from 0 to 1",
        "--decoder_output_stride": "the decoder works at 4, a quarter of the side; leave it away",
        "--debug": "what a run does is always logged; leave it away",
        "--fp16_allreduce": "give --reduce_precision float16",
        "--horovod": "give --workers, the host:port of every machine, or start by mpirun or srun",
        "--label_format": "the format is told by the file; leave it away",
        "--log_every": "each step is in the log of the work folder; leave it away",
        "--model": _NETWORK,
        "--name": _NETWORK,
        "--neg_pixel_weight": "give --class_weights, the background's first, as 1,2",
        "--no_cuda": "give --GPU -1",
        "--num_replicas": "give --workers, the host:port of every machine",
        "--pos_pixel_weight": "give --class_weights, the background's first, as 1,2",
        "--sample_processes": "threads read as there are cores; leave it away",
        "--slide_format": "the format is told by the file; leave it away",
    },
)


def fix_given(spec: Spec, settings: Mapping[str, str]) -> Mapping[str, str]:
    """Return the settings with the names of those that a plan leaves alone: all that were given."""
    if "hours" not in settings:
        return settings
    given = [name for name in given_fields(spec, ALIASES.fields, settings) if name in PLANNED]
    return {**settings, "fixed": ",".join([settings.get("fixed", ""), *given])}


TASK = Task(
    name="TrainNetwork",
    command="train",
    request=TrainRequest,
    aliases=ALIASES,
    run=run,
    when_cancelled="the model was not written; checkpoints so far are in the work folder",
    completed=fix_given,
    need=lambda request: TABLES if request.dry_run else NETWORK,
)

if __name__ == "__main__":
    as_process(lambda: run_task(TASK, sys.argv[1:]))
