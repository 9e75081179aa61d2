"""How much memory a training takes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import tensorflow as tf

STATUS = Path("/proc/self/status")


def peak_memory_gb() -> dict[str, float]:
    """Return the most that this process has held so far, in GB (10^9 bytes), by where it lay."""
    peaks = {"main memory": _peak_resident_bytes() / 1e9}
    for device in tf.config.list_logical_devices("GPU"):
        # Without "/device:", as in "GPU:0".
        name = ":".join(device.name.split(":")[-2:])
        peaks[name] = tf.config.experimental.get_memory_info(name)["peak"] / 1e9
    return peaks


def _peak_resident_bytes() -> int:
    # On Linux ru_maxrss begins with what the process held that started this one.
    if STATUS.exists():
        status = STATUS.read_text(encoding="utf-8", errors="replace")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    # macOS counts in bytes, other systems in kB.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
