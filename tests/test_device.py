"""Which GPUs a run computes on."""

import pytest
import tensorflow as tf

from deeplab.device import choose_devices
from deeplab.errors import DeviceError


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many GPUs; what TensorFlow is let see of them."""
    seen = []

    def of(count):
        gpus = [f"gpu {number}" for number in range(count)]
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: gpus)
        return seen

    monkeypatch.setattr(tf.config, "set_visible_devices", lambda some, _: seen.extend(some))
    for name in ("set_memory_growth", "get_device_details"):
        monkeypatch.setattr(tf.config.experimental, name, lambda *_, **__: {})
    return of


@pytest.mark.parametrize(
    ("gpu", "count", "chosen"),
    [
        (0, 1, ["gpu 0"]),
        (2, 1, ["gpu 2"]),
        (1, 2, ["gpu 1", "gpu 2"]),
        (1, 0, ["gpu 1", "gpu 2", "gpu 3"]),
    ],
)
def test_gpus_are_taken_from_the_first_one_on(machine, gpu, count, chosen):
    seen = machine(4)
    assert choose_devices(gpu, count) == [f"GPU:{number}" for number in range(len(chosen))]
    assert seen == chosen


@pytest.mark.parametrize(("gpus", "gpu"), [(0, 0), (0, 3), (4, -1)])
def test_without_gpus_or_by_wish_it_is_the_cpu(machine, gpus, gpu):
    seen = machine(gpus)
    assert choose_devices(gpu, 2) == ["CPU:0"]
    assert seen == []


@pytest.mark.parametrize(
    ("gpu", "count", "sentence"),
    [
        (2, 1, "there is no GPU 2; this machine has 2, the first is 0"),
        (1, 2, "there are no 2 GPUs from GPU 1 on; this machine has 2, the first is 0"),
    ],
)
def test_gpus_that_are_not_there_are_refused(machine, gpu, count, sentence):
    machine(2)
    with pytest.raises(DeviceError, match=sentence):
        choose_devices(gpu, count)
