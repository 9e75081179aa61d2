"""The processor that a run computes on: chosen before TensorFlow starts, and said in the log."""

from __future__ import annotations

import logging

import tensorflow as tf

from deeplab.cores import usable_cores
from deeplab.errors import DeviceError
from deeplab.report.words import counted

log = logging.getLogger(__name__)


def choose_device(gpu: int) -> None:
    """Let TensorFlow see one GPU, or none; see `choose_devices`."""
    choose_devices(gpu, 1)


def choose_devices(gpu: int, count: int) -> list[str]:
    """Let TensorFlow see some GPUs, or none, and say in the log which.

    Args:
        gpu: number of the first GPU; -1 for the CPU. Where the machine has no GPU at all, the CPU
            is taken whatever the number: a Girder worker starts a job without its GPU when the
            driver fails, and says nothing.
        count: of GPUs; 0 for all from the first one on.

    Returns:
        What TensorFlow calls them from now on, as "GPU:0".

    Raises:
        DeviceError: there are GPUs, but none of this number, or not so many.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpu < 0 or not gpus:
        tf.config.set_visible_devices([], "GPU")
        cores = counted(usable_cores(), "core")
        log.info("computing on CPU, %s, TensorFlow %s", cores, tf.__version__)
        return ["CPU:0"]
    if gpu >= len(gpus):
        raise DeviceError(f"there is no GPU {gpu}; this machine has {len(gpus)}, the first is 0")
    chosen = gpus[gpu : gpu + count] if count else gpus[gpu:]
    if len(chosen) < count:
        raise DeviceError(
            f"there are no {count} GPUs from GPU {gpu} on; this machine has {len(gpus)}, "
            "the first is 0"
        )
    tf.config.set_visible_devices(chosen, "GPU")
    for number, device in enumerate(chosen, start=gpu):
        tf.config.experimental.set_memory_growth(device, enable=True)
        details = tf.config.experimental.get_device_details(device)
        name = details.get("device_name", "of unknown kind")
        log.info("computing on GPU %d, %s, TensorFlow %s", number, name, tf.__version__)
    return [f"GPU:{number}" for number in range(len(chosen))]
