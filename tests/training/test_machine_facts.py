"""What a training may use of a machine, by its settings."""

from importlib.metadata import PackageNotFoundError

import pytest

from deeplab import cgroups
from deeplab.config.train_request import MachineSettings
from deeplab.training import machine_facts
from deeplab.training.machine_facts import MachineFacts, find_machine

GPUS_GB = (24.0, 16.0, 80.0)


class Driver:
    """What a driver's library answers of three GPUs."""

    def __init__(self, *, works=True):
        self._works = works

    def cuInit(self, _flags):  # noqa: N802  the driver's name
        return 0 if self._works else 100

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = len(GPUS_GB)
        return 0

    def cuDeviceGet(self, device, number):  # noqa: N802
        device._obj.value = 7 + number
        return 0

    def cuDeviceTotalMem_v2(self, size, device):  # noqa: N802
        size._obj.value = int(GPUS_GB[device.value - 7] * 1e9)
        return 0


def no_such(_name):
    raise PackageNotFoundError


def use_driver(monkeypatch, driver):
    monkeypatch.setattr(machine_facts, "distribution", no_such)
    monkeypatch.setattr(machine_facts.ctypes, "CDLL", lambda _name: driver)


@pytest.mark.parametrize(
    ("settings", "gpus_gb"),
    [
        ({}, GPUS_GB[:1]),
        ({"gpu": 1}, GPUS_GB[1:2]),
        ({"gpu": 1, "num_clones": 2}, GPUS_GB[1:]),
        ({"num_clones": 0}, GPUS_GB),
        ({"gpu": -1}, ()),
    ],
)
def test_gpus_are_those_that_the_settings_choose(monkeypatch, settings, gpus_gb):
    use_driver(monkeypatch, Driver())
    assert find_machine(MachineSettings(**settings)).gpus_gb == gpus_gb


def test_a_driver_that_fails_is_none(monkeypatch):
    use_driver(monkeypatch, Driver(works=False))
    assert find_machine(MachineSettings()).gpus_gb == ()


def test_a_tensorflow_without_gpus_has_none_whatever_the_driver_says(monkeypatch):
    use_driver(monkeypatch, Driver())
    monkeypatch.setattr(machine_facts, "distribution", lambda name: name)
    assert find_machine(MachineSettings()).gpus_gb == ()


def test_memory_is_that_of_the_machine_or_of_its_container(monkeypatch, tmp_path):
    monkeypatch.setattr(cgroups, "CGROUPS", tmp_path)
    whole = find_machine(MachineSettings(gpu=-1)).memory_gb
    (tmp_path / "memory.max").write_text("300000000\n")
    assert find_machine(MachineSettings(gpu=-1)).memory_gb == 0.3
    assert whole > 0.3


def test_it_is_told_in_words():
    assert str(MachineFacts(cores=4, memory_gb=16.2)) == "4 cores without a GPU, 16.2 GB"
    assert str(MachineFacts(cores=4, memory_gb=16, gpus_gb=(24, 16))) == "2 GPU of 16 GB"
