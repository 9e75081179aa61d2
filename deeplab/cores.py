"""The processors that this process may compute on."""

from __future__ import annotations

import os
from typing import Final

THREADS: Final = "OMP_NUM_THREADS"  # where a launcher says how many threads a process may have


def usable_cores() -> int:
    """Return how many processors this process may use, at least one.

    They are fewer than the machine has where a launcher binds a process to a socket, or a container
    to some of them, or OMP_NUM_THREADS says so.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    bound = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    asked = os.environ.get(THREADS, "")
    return min(bound, int(asked)) if asked.isdecimal() and int(asked) else bound
