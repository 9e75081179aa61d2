"""Launchers tell who trains together; what they set is as recorded from them."""

import json
from pathlib import Path

import pytest

from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError
from deeplab_cli.cluster import FIRST_PORT, PORTS, hosts_of, with_cluster

# srun on three nodes of four and two tasks: this is the second task of the second node.
SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "gpu[07-08,11]",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_PROCID": "3",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "4",
    "PMIX_NAMESPACE": "prterun-host-12345@1",
}
MPICH = {"PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALNRANKS": "4", "MPI_LOCALRANKID": "2"}
ADDRESSES = ("a:1", "b:1", "c:1", "d:1")


def placed(environment, **settings):
    request = TrainRequest(
        source="slides", output_model=Path("m.zip"), classes=("lesion",), **settings
    )
    found = with_cluster(request, environment)
    return found.workers, found.worker_index


def test_without_a_launcher_all_is_as_asked():
    assert placed({}) == ((), 0)
    assert placed({}, workers=ADDRESSES, worker_index=2) == (ADDRESSES, 2)


def tf_config(task, index):
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": task, "index": index}})}


@pytest.mark.parametrize(("task", "index", "expected"), [("chief", 0, 0), ("worker", 1, 2)])
def test_tf_config_names_the_chief_first(task, index, expected):
    assert placed(tf_config(task, index)) == (("a:1", "b:1", "c:1"), expected)


@pytest.mark.parametrize("text", ["{", '{"cluster": {}}', '{"cluster": 1, "task": 2}'])
def test_a_tf_config_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="TF_CONFIG must be of a cluster"):
        placed({"TF_CONFIG": text})


def test_a_parameter_server_is_refused():
    with pytest.raises(ConfigError, match="tasks chief and worker only"):
        placed(tf_config("ps", 0))


def test_srun_names_nodes_and_tasks():
    workers, index = placed(SLURM)
    hosts, ports = zip(*(address.split(":") for address in workers), strict=True)
    assert hosts == ("gpu07", "gpu07", "gpu08", "gpu08", "gpu11")
    first = int(ports[0])
    assert [int(port) - first for port in ports] == [0, 1, 0, 1, 0]
    assert FIRST_PORT <= first < FIRST_PORT + PORTS
    assert index == 3


def test_every_task_of_srun_has_a_place_of_its_own_however_they_were_dealt_out():
    tasks = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]  # in turn: --distribution=cyclic
    found = [
        placed(SLURM | {"SLURM_NODEID": str(n), "SLURM_LOCALID": str(i), "SLURM_PROCID": str(p)})
        for p, (n, i) in enumerate(tasks)
    ]
    assert len({workers for workers, _ in found}) == 1
    assert sorted(index for _, index in found) == [0, 1, 2, 3, 4]
    for (workers, index), (node, _) in zip(found, tasks, strict=True):
        assert workers[index].startswith(["gpu07", "gpu08", "gpu11"][node])


def test_two_jobs_on_a_node_have_other_ports():
    assert placed(SLURM) != placed(SLURM | {"SLURM_JOB_ID": "4712"})


def test_a_batch_script_without_srun_is_one_process():
    batch = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "5", "SLURM_PROCID": "0"}
    assert placed(batch) == ((), 0)
    assert placed(SLURM | {"SLURM_STEP_NUM_TASKS": "1"}) == ((), 0)


@pytest.mark.parametrize("environment", [OPEN_MPI, MPICH])
def test_mpirun_on_one_host_needs_no_addresses(environment):
    workers, index = placed(environment)
    assert len(set(workers)) == 4
    assert all(address.startswith("localhost:") for address in workers)
    assert index == 2


@pytest.mark.parametrize(
    "environment",
    [OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, MPICH | {"MPI_LOCALNRANKS": "2"}],
)
def test_mpirun_on_several_hosts_needs_their_addresses_and_gives_the_rank(environment):
    with pytest.raises(ConfigError, match="workers must be host:port of all 4 processes"):
        placed(environment)
    assert placed(environment, workers=ADDRESSES) == (ADDRESSES, 2)


@pytest.mark.parametrize("environment", [SLURM, OPEN_MPI])
def test_addresses_must_be_one_for_each_process(environment):
    with pytest.raises(ConfigError, match="addresses, one for each process that was started"):
        placed(environment, workers=("a:1", "b:1"))


def test_one_process_of_a_launcher_is_alone():
    one = {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}
    assert placed(one) == ((), 0)


@pytest.mark.parametrize(
    ("hostlist", "hosts"),
    [
        ("login", ["login"]),
        ("a,b", ["a", "b"]),
        ("node[01-03,07]", ["node01", "node02", "node03", "node07"]),
        ("node[9-11]", ["node9", "node10", "node11"]),
        ("a[1-2]-ib,b", ["a1-ib", "a2-ib", "b"]),
        ("r[1-2]n[01-02]", ["r1n01", "r1n02", "r2n01", "r2n02"]),
    ],
)
def test_lists_of_hosts_are_read_as_slurm_writes_them(hostlist, hosts):
    assert list(hosts_of(hostlist)) == hosts


def test_a_list_of_hosts_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="SLURM_STEP_NODELIST must be like"):
        list(hosts_of("node[a-b]"))
