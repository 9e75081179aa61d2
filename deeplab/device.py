"""The processor that a run computes on: chosen before TensorFlow starts, and said in the log."""

from __future__ import annotations

import logging
import os

import tensorflow as tf

from deeplab.errors import DeviceError

log = logging.getLogger(__name__)


def choose_device(gpu: int) -> str:
    """Let TensorFlow see one GPU, or none, and say which.

    Args:
        gpu: number of the GPU; -1 for the CPU. Where the machine has no GPU at all, the CPU is
            taken whatever the number: a Girder worker starts a job without its GPU when the
            driver fails, and says nothing.

    Returns:
        "CPU (n cores)" or the name of the GPU.

    Raises:
        DeviceError: there are GPUs, but none of this number.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpu >= 0 and gpus:
        if gpu >= len(gpus):
            raise DeviceError(
                f"there is no GPU {gpu}; this machine has {len(gpus)}, the first is 0"
            )
        tf.config.set_visible_devices(gpus[gpu], "GPU")
        tf.config.experimental.set_memory_growth(gpus[gpu], enable=True)
        details = tf.config.experimental.get_device_details(gpus[gpu])
        name = f"GPU {gpu}, {details.get('device_name', 'of unknown kind')}"
    else:
        tf.config.set_visible_devices([], "GPU")
        name = f"CPU, {os.cpu_count()} cores"
    log.info("computing on %s, TensorFlow %s", name, tf.__version__)
    return name
