"""The command of a training is killed and told to stop, and ends as one that was left alone."""

import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.processes_for_tests import running
from tests.slides_for_tests import PINK, PURPLE, write_tiff

pytestmark = pytest.mark.slow

SIDE = 200
# Long enough that places where the network was wrong are drawn: those of the first 32 steps are
# from the 65th step on.
STEPS = 80
OPTIONS = {
    "classes": "lesion",
    "steps": STEPS,
    "batch_size": 2,
    "patch_size": 33,
    "depth_multiplier": 0.1,
    "atrous_rates": "1",
    "aspp_filters": 4,
    "decoder_filters": 4,
    "slow_start_step": 2,
    "hard_mining": 0.5,
    "gradient_accumulation": 2,
    "ema_decay": 0.9,
    "validate_every": 30,
    "checkpoint_minutes": 0,
    "gpu": -1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three slides with a square each."""
    path = tmp_path_factory.mktemp("slides")
    for number in range(3):
        rgb = np.full((SIDE, SIDE, 3), PINK, np.uint8)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        square = np.s_[40 : 100 + 10 * number, 50:130]
        rgb[square], labels[square] = PURPLE, 1
        write_tiff(path / f"{number}.tiff", rgb, compression="deflate")
        Image.fromarray(labels).save(path / f"{number}.mask.png")
    return path


def start(folder, model):
    words = [word for name, value in OPTIONS.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "deeplab_cli.main", "train", str(folder), str(model), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped(folder, model, number, step):
    """What a process said that was sent a signal when it had shown some step, and its code."""
    with running(start(folder, model)) as (process,):
        for line in process.stdout:
            _, _, told = line.partition("<filter-comment>train: ")
            if told and int(told.split()[0]) >= step:
                break
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    return said, process.returncode


def finished(folder, model):
    with running(start(folder, model)) as (process,):
        _, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    return said


def arrays_of(model):
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "card.json"}


def test_a_training_that_is_killed_and_told_to_stop_ends_bit_by_bit_as_one_left_alone(
    folder, tmp_path
):
    alone, broken = tmp_path / "alone.zip", tmp_path / "broken.zip"
    finished(folder, alone)
    # The moments differ from run to run: progress is shown twice a second.
    said, code = stopped(folder, broken, signal.SIGKILL, np.random.default_rng().integers(2, 20))
    assert code == -signal.SIGKILL, said
    said, code = stopped(folder, broken, signal.SIGTERM, 30)
    assert code == 128 + signal.SIGTERM, said
    assert "going on from step" in said
    assert "checkpoints so far are in the work folder" in said
    assert not broken.exists()
    said = finished(folder, broken)
    assert "going on from step" in said
    assert arrays_of(alone) == arrays_of(broken)
    one, other = (loss_of(m.with_suffix(".work") / "log.csv") for m in (alone, broken))
    assert one == other


def loss_of(log):
    """Step, loss and figures of each line; how long was waited for patches is another's."""
    rows = [line.split(",") for line in log.read_text().splitlines()]
    return [row[:3] + row[4:] for row in rows]
