"""A moment after which no further slow test begins, for machines on which not all can have a turn.

Where the environment says one, quick tests come first and all run; then the slow ones, file by file
in an order that the commit draws, so that over some commits each has its turn. Those that the time
does not suffice for are skipped and say so. Without it everything runs, in the usual order.
"""

import os
import time
from collections import defaultdict
from hashlib import sha256

import pytest

DEADLINE = "TESTS_END_BY"  # seconds since 1970
SEED = "TESTS_SEED"
LEFT_OUT = f"no time was left before {DEADLINE}: run it by its name"


def order_tests(items: list[pytest.Item]) -> None:
    """Put quick tests first and the files of slow ones into a drawn order, if there is a deadline."""
    if DEADLINE not in os.environ:
        return
    quick, slow = [], defaultdict(list)
    for item in items:
        (slow[item.path] if item.get_closest_marker("slow") else quick).append(item)
    seed = os.environ.get(SEED, "")
    files = sorted(slow, key=lambda path: sha256(f"{seed} {path.name}".encode()).digest())
    items[:] = [*quick, *(item for file in files for item in slow[file])]


def skip_after_deadline(item: pytest.Item) -> None:
    """Skip a slow test, before anything is set up for it, if the deadline has passed."""
    deadline_s = float(os.environ.get(DEADLINE, "inf"))
    if time.time() > deadline_s and item.get_closest_marker("slow"):
        pytest.skip(LEFT_OUT)
