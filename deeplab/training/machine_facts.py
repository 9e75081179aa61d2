"""What of a machine a training may use, found without loading TensorFlow."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution

from deeplab.cgroups import usable_memory_bytes
from deeplab.config.train_request import MachineSettings
from deeplab.cores import usable_cores
from deeplab.report.words import counted

GB = 1e9
CUDA = "libcuda.so.1"  # of the driver
WITHOUT_GPUS = "tensorflow-cpu"  # the distribution that computes on none


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What a training may use.

    Attributes:
        cores: processors.
        memory_gb: main memory, 10^9 bytes.
        gpus_gb: memory of each GPU on which it computes; empty: it computes on the processors.
    """

    cores: int
    memory_gb: float
    gpus_gb: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.gpus_gb:
            return f"{len(self.gpus_gb)} GPU of {min(self.gpus_gb):.3g} GB"
        return f"{counted(self.cores, 'core')} without a GPU, {self.memory_gb:.3g} GB"


def find_machine(settings: MachineSettings) -> MachineFacts:
    """Return what a training with these settings may use of this machine."""
    gpus_gb = [size / GB for size in _gpu_bytes()] if settings.gpu >= 0 else []
    last = settings.gpu + settings.num_clones if settings.num_clones else None
    return MachineFacts(
        cores=usable_cores(),
        memory_gb=usable_memory_bytes() / GB,
        gpus_gb=tuple(gpus_gb[settings.gpu : last]),
    )


def _gpu_bytes() -> Iterator[int]:
    """Yield the memory of each NVIDIA GPU that TensorFlow can use, in its order."""
    try:
        distribution(WITHOUT_GPUS)
    except PackageNotFoundError:
        pass
    else:
        return
    try:
        cuda = ctypes.CDLL(CUDA)
    except OSError:  # there is no driver
        return
    count, device, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return
    for number in range(count.value):
        if cuda.cuDeviceGet(ctypes.byref(device), number):
            return
        if cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device):
            return
        yield size.value
