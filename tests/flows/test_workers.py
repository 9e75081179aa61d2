"""Processes that train together by the command: one writes, and when one is killed all end."""

import os
import signal

import pytest

from deeplab.bundles.read import read_card
from tests.flows.training_command import start_training, three_squares, wait_for_step
from tests.processes_for_tests import running
from tests.training.test_distribution import free_addresses

pytestmark = pytest.mark.slow

STEPS = 24
OPTIONS = {
    "classes": "lesion",
    "steps": STEPS,
    "batch_size": 4,
    "patch_size": 40,
    "depth_multiplier": 0.1,
    "network": "unet",
    "network_options": "depth=3,decoder_channels=4 4 4",
    "slow_start_step": 2,
    "hard_mining": 0.5,
    "validate_every": 10,
    "checkpoint_minutes": 0,
    "gpu": -1,
}


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return three_squares(tmp_path_factory.mktemp("slides"))


def start(slides, model, *more, **environment):
    return start_training(slides, model, OPTIONS, *more, **environment)


def start_workers(slides, models):
    """As on machines that share no folder: each is told to write to one of its own."""
    workers = ",".join(free_addresses(len(models)))
    return [
        start(slides, model, "--workers", workers, "--worker-index", str(worker))
        for worker, model in enumerate(models)
    ]


def ends_of(processes):
    return [(*process.communicate(timeout=900), process.returncode) for process in processes]


def test_when_a_worker_is_killed_all_end_and_started_again_they_go_on(slides, tmp_path):
    models = [tmp_path / str(worker) / "model.zip" for worker in range(2)]
    with running(*start_workers(slides, models)) as processes:
        wait_for_step(processes[0], 5)
        processes[1].send_signal(signal.SIGKILL)
        ((_, said, code),) = ends_of(processes[:1])
    assert code == 2, said
    (line,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert "one of the 2 workers is gone" in line
    assert "the training goes on from its last checkpoint" in line
    assert not models[0].exists()

    with running(*start_workers(slides, models)) as processes:
        (said_to_chief, log, code), (said, other_log, other_code) = ends_of(processes)
    assert (code, other_code) == (0, 0), log + other_log
    assert "going on from step" in log
    assert "going on from step" in other_log
    assert f"model {models[0]} after {STEPS} steps" in said_to_chief
    assert "worker 1 is done; the model was written by worker 0" in said
    assert "filter-progress" not in said
    assert read_card(models[0]).training["steps"] <= STEPS
    assert not models[1].parent.exists()


def test_processes_of_mpirun_find_each_other_and_keep_to_their_processors(slides, tmp_path):
    model = tmp_path / "model.zip"
    told = {
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "PMIX_NAMESPACE": str(tmp_path),
    }
    with running(
        *(
            start(slides, model, "--steps", "2", **told, OMPI_COMM_WORLD_RANK=str(rank))
            for rank in range(2)
        )
    ) as processes:
        for process in processes:  # as --bind-to does, before anything large is loaded
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        for _, said, code in ends_of(processes):
            assert code == 0, said
            assert "computing on CPU, 1 core, TensorFlow" in said
    assert model.exists()


def test_workers_that_are_asked_for_different_things_are_refused(slides, tmp_path):
    workers = ",".join(free_addresses(2))
    with running(
        *(
            start(
                slides,
                tmp_path / f"{worker}.zip",
                *("--workers", workers, "--worker-index", str(worker)),
                *("--learning_rate", rate),
            )
            for worker, rate in enumerate(("0.001", "0.002"))
        )
    ) as processes:
        (_, _, code), (_, said, other_code) = ends_of(processes)
    assert (code, other_code) == (2, 2)
    assert "the first worker was asked for something else: here learning_rate is 0.002" in said
