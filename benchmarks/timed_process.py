"""What a command takes: time and memory of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

DEEPLAB = (sys.executable, "-m", "deeplab_cli.entry")  # begins each command of ours
# What the system says of a process's memory begins with what its parent held, so a small one starts
# the command.
START = """
import json, os, subprocess, sys
ended = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(ended.pid, 0)
print(json.dumps([usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime]))
sys.exit(status != 0)
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a command took.

    Attributes:
        seconds: from its start to its end.
        busy_seconds: that processors worked for it, which other work on the machine disturbs less.
        peak_mb: the most memory that it held at a time, MiB.
    """

    seconds: float
    busy_seconds: float
    peak_mb: float


def run_timed(command: Sequence[str], what: str) -> Taken:
    """Run the command, whose output is dropped; leave the benchmark, naming `what`, if it fails."""
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, *command],
        check=False, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if ended.returncode:
        sys.exit(f"{what} failed")
    peak_mb, busy_seconds = json.loads(ended.stdout)
    return Taken(seconds, busy_seconds, peak_mb)
