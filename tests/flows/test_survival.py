"""The command of a training is killed and told to stop, and ends as one that was left alone."""

import signal
import zipfile

import numpy as np
import pytest

from tests.flows.training_command import start_training, three_squares, wait_for_step
from tests.processes_for_tests import running

pytestmark = pytest.mark.slow

# Long enough that places where the network was wrong are drawn: those of the first 32 steps are
# from the 65th step on.
STEPS = 80
OPTIONS = {
    "classes": "lesion",
    "steps": STEPS,
    "batch_size": 2,
    "slow_start_step": 2,
    "hard_mining": 0.5,
    "gradient_accumulation": 2,
    "ema_decay": 0.9,
    "validate_every": 30,
    "checkpoint_minutes": 0,
    "gpu": -1,
}
NETWORKS = {
    "deeplabv3plus": {
        "patch_size": 33,
        "depth_multiplier": 0.1,
        "atrous_rates": "1",
        "aspp_filters": 4,
        "decoder_filters": 4,
    },
    "hovernet": {
        "patch_size": 48,
        "depth_multiplier": 0.1,
        "network_options": "decoder_width=8",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return three_squares(tmp_path_factory.mktemp("slides"))


def stopped(process, number, step):
    """What a process said that was sent a signal when it had shown some step, and its code."""
    with running(process) as (process,):
        wait_for_step(process, step)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    return said, process.returncode


def finished(process):
    with running(process) as (process,):
        _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return said


def arrays_of(model):
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "card.json"}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_training_that_is_killed_and_told_to_stop_ends_bit_by_bit_as_one_left_alone(
    folder, tmp_path, network
):
    def start(model):
        return start_training(folder, model, {"network": network, **OPTIONS, **NETWORKS[network]})

    alone, broken = tmp_path / "alone.zip", tmp_path / "broken.zip"
    finished(start(alone))
    # The moments differ from run to run: progress is shown twice a second.
    said, code = stopped(start(broken), signal.SIGKILL, np.random.default_rng().integers(2, 20))
    assert code == -signal.SIGKILL, said
    said, code = stopped(start(broken), signal.SIGTERM, 30)
    assert code == 128 + signal.SIGTERM, said
    assert "going on from step" in said
    assert "checkpoints so far are in the work folder" in said
    assert not broken.exists()
    said = finished(start(broken))
    assert "going on from step" in said
    assert arrays_of(alone) == arrays_of(broken)
    one, other = (loss_of(m.with_suffix(".work") / "log.csv") for m in (alone, broken))
    assert one == other


def loss_of(log):
    """Step, loss and figures of each line; how long was waited for patches is another's."""
    rows = [line.split(",") for line in log.read_text().splitlines()]
    return [row[:3] + row[4:] for row in rows]
