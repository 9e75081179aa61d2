"""The processors that this process may compute on."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many processors this process may use, at least one.

    They are fewer than the machine has where a launcher binds a process to a socket, or a container
    to some of them: TensorFlow and OpenVINO start as many threads, and so do we.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
