"""Whether this process gets what a task needs, asked before anything large is loaded.

Asked later it is too late: OpenBLAS, which NumPy and SciPy bring, asks for ever for memory that it
does not get, and TensorFlow ends the process without a word.
"""

from __future__ import annotations

import errno
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from deeplab.cgroups import group_limits, memory_limits, number_in
from deeplab.cores import usable_cores
from deeplab.errors import DeeplabError, MachineError, OutputError

GB = 1e9
FILES = 4096  # open at once: more than a task needs
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_LACKS_MEMORY = (
    "failed to map segment",  # the loader, of a library
    "cannot allocate memory",
    "bad_alloc",
    "oom when allocating",
    "insufficient memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a run of seconds takes, and more where the run is larger.

    Attributes:
        address_gb: room for addresses where OpenBLAS has one thread, and what each core's threads
            of TensorFlow and OpenVINO add to it.
        data_gb: memory that is its own, whether it is used or not, likewise.
        resident_gb: memory that is used.
        threads: and as many for each core.
    """

    address_gb: tuple[float, float]
    data_gb: tuple[float, float]
    resident_gb: float
    threads: int


# VmPeak and VmData on 2, 16 and 64 cores, in GB: segment 2.9, 3.1, 3.9 and 0.7, 1.0, 1.8; train as
# much and 1.1, 1.3, 2.1; features 1.0 and 0.3 on any. VmHWM: 1.0 and 0.2.
NETWORK = Need(address_gb=(2.85, 0.03), data_gb=(1.05, 0.03), resident_gb=1.0, threads=8)
TABLES = Need(address_gb=(1.0, 0.01), data_gb=(0.35, 0.01), resident_gb=0.15, threads=2)


def process_age_s() -> float:
    """Return how many seconds ago this process was started; 0 where the system does not say."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    # The name, second and in brackets, may hold anything; the 22nd is ticks from boot to start.
    started_ticks = int(stat.rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")


def check_machine(need: Need) -> None:
    """Raise MachineError where a limit leaves the process less than it needs.

    As many files may be open at once as the system allows. Under a limit on addresses OpenBLAS,
    not loaded yet, is told to take one thread.
    """
    cores = usable_cores()
    for kind, (whole, each), called in (
        (resource.RLIMIT_AS, need.address_gb, "ulimit -v"),
        (resource.RLIMIT_DATA, need.data_gb, "ulimit -d"),
    ):
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY:
            _check_memory(limit, whole + each * cores, called)
            # NumPy and SciPy bring one each, and each reserves some 100 MB for each core: 15 GB on
            # 64. Where it gets less than it asks for it crashes, or asks again for ever.
            os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for limit in memory_limits():
        _check_memory(limit, need.resident_gb, "the limit of its container or cgroup")
    _check_threads(need.threads * (1 + cores))
    _allow_files()


def check_place() -> None:
    """Raise MachineError where the folder that the process was started in is gone."""
    try:
        Path.cwd()
    except OSError as error:
        raise MachineError(
            "the folder that this was started in is no longer there; change to another (cd)"
        ) from error


def as_lack(error: BaseException) -> DeeplabError | None:
    """Return the sentence for an error that says that the machine or its disk gives too little.

    None: it is another error.
    """
    seen: BaseException | None = error
    while seen is not None:
        if full := _full(seen):
            return full
        if lack := _lack(seen):
            return MachineError(lack)
        seen = seen.__cause__ or seen.__context__
    return None


def _full(error: BaseException) -> OutputError | None:
    """Return the sentence for an error of a disk that takes no more; None: it is another."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return OutputError(error.filename or "a file", os.strerror(error.errno))
    # TensorFlow tells of a full disk as of full memory.
    reason = next((each for each in map(os.strerror, _FULL) if each in str(error)), "")
    return OutputError("a file", reason) if reason and not isinstance(error, OSError) else None


def _lack(error: BaseException) -> str:
    """Return which of a machine's means an error lacks, as a sentence; "": none."""
    if isinstance(error, DeeplabError):
        return ""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EMFILE, errno.ENFILE):
        return "too many files are open at once; allow more (ulimit -n)"
    text = str(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return "no more threads can be started; allow more (ulimit -u, or the container's limit)"
    kinds = {each.__name__ for each in type(error).__mro__}
    is_memory = isinstance(error, MemoryError) or number == errno.ENOMEM
    if is_memory or "ResourceExhaustedError" in kinds or _says_memory(text):
        return (
            "there is not enough memory, of the machine, the GPU or what this process may use;"
            " close other programs, allow more, or choose a smaller batch_size or patch_size"
        )
    return ""


def _says_memory(text: str) -> bool:
    return any(each in text.lower() for each in _LACKS_MEMORY)


def _check_memory(limit_bytes: int, needed_gb: float, called: str) -> None:
    if limit_bytes < needed_gb * GB:
        raise MachineError(
            f"there is not enough memory: this process may use {limit_bytes / GB:.2g} GB"
            f" ({called}), and at least {needed_gb:.2g} GB are needed"
        )


def _check_threads(needed: int) -> None:
    """Raise MachineError where fewer threads can be started than are needed."""
    limits = [
        (limit, number_in(path.parent / "pids.current"))
        for path, limit in group_limits("pids.max", "pids/pids.max")
    ]
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft != resource.RLIM_INFINITY and os.geteuid():  # root has no limit
        limits.append((soft, _own_threads()))
    for limit, taken in limits:
        if limit - taken < needed:
            raise MachineError(
                f"too few threads can be started: {max(limit - taken, 0)} more are allowed"
                f" (ulimit -u, or the container's limit), and {needed} are needed"
            )


def _own_threads() -> int:
    """Threads of all processes of this user, as far as they can be seen."""
    count = 0
    for status in Path("/proc").glob("[0-9]*/task"):
        try:
            if status.stat().st_uid == os.geteuid():
                count += sum(1 for _ in status.iterdir())
        except OSError:  # it has ended meanwhile
            continue
    return count


def _allow_files() -> None:
    """Let the process open as many files as it may, where that is few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
