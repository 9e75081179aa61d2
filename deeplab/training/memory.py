"""How much memory a training takes."""

from __future__ import annotations

import resource
import sys

import tensorflow as tf


def peak_memory_gb() -> dict[str, float]:
    """Return the most that this process has held so far, in GB (10^9 bytes), by where it lay."""
    # Linux counts in kB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {"main memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9}
    for device in tf.config.list_logical_devices("GPU"):
        # Without "/device:", as in "GPU:0".
        name = ":".join(device.name.split(":")[-2:])
        peaks[name] = tf.config.experimental.get_memory_info(name)["peak"] / 1e9
    return peaks
