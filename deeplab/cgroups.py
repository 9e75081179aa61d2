"""What this process may use of the machine, where a container or another group limits it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_memory_bytes() -> int:
    """Return how much memory this process may use: the machine's, or less where a group has less.

    What others take of it meanwhile is not considered.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *memory_limits()])


def memory_limits() -> Iterator[int]:
    """Yield the limits on memory that groups of this process state, bytes."""
    for _, limit in group_limits("memory.max", "memory/memory.limit_in_bytes"):
        yield limit


def group_limits(*names: str) -> Iterator[tuple[Path, int]]:
    """Yield the files of these names that state a limit, and it, version 2 of cgroups or 1.

    They are of this process's own group and of those above it.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    groups = [CGROUPS / own, *(each for each in (CGROUPS / own).parents if CGROUPS in each.parents)]
    for group in dict.fromkeys([*groups, CGROUPS]):
        for name in names:
            limit = number_in(group / name)
            if limit:
                yield group / name, limit


def number_in(path: Path) -> int:
    """Return the number in a file; 0 where there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdecimal() else 0
