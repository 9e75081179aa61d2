"""Which processes train together, as the program that started them tells it."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError

FIRST_PORT, PORTS = 20000, 10000  # below those that a system gives to whoever asks for any


@dataclass(frozen=True, slots=True)
class Place:
    """A process among others.

    Attributes:
        workers: "host:port" of all; empty where the launcher does not tell their hosts.
        count: how many there are.
        index: which of them this one is.
    """

    workers: tuple[str, ...]
    count: int
    index: int


def with_cluster(request: TrainRequest, environment: Mapping[str, str]) -> TrainRequest:
    """Return the request with all workers, where a launcher has started several.

    TF_CONFIG goes before srun, and srun before mpirun. Workers that the request itself names are
    kept; which of them this process is, the launcher knows.

    Raises:
        ConfigError: what a launcher tells cannot be understood, does not fit the workers that are
            named, or their hosts are not known.
    """
    place = _of_tf_config(environment) or _of_slurm(environment) or _of_mpi(environment)
    if place is None or place.count == 1:
        return request
    workers = request.workers or place.workers
    if not workers:
        raise ConfigError(
            "workers", "", f"host:port of all {place.count} processes; mpirun does not tell them"
        )
    if len(workers) != place.count:
        must = f"{place.count} addresses, one for each process that was started"
        raise ConfigError("workers", ",".join(workers), must)
    return replace(request, workers=workers, worker_index=place.index)


def _of_tf_config(environment: Mapping[str, str]) -> Place | None:
    text = environment.get("TF_CONFIG", "")
    if not text:
        return None
    try:
        told = json.loads(text)
        cluster, task = told["cluster"], told["task"]
        chiefs, others = cluster.get("chief", []), cluster.get("worker", [])
        first = {"chief": 0, "worker": len(chiefs)}[task["type"]]
        workers = tuple(map(str, [*chiefs, *others]))
        return Place(workers, len(workers), first + int(task["index"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        must = "of a cluster with tasks chief and worker only"
        raise ConfigError("TF_CONFIG", text, must) from error


def _of_slurm(environment: Mapping[str, str]) -> Place | None:
    """The tasks of a step. A batch script is none: what it runs without srun is one process."""
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return None
    nodes = list(hosts_of(environment["SLURM_STEP_NODELIST"]))
    tasks = list(_tasks_of(environment["SLURM_STEP_TASKS_PER_NODE"]))
    port = _first_port(environment["SLURM_JOB_ID"] + "." + environment["SLURM_STEP_ID"])
    workers = tuple(
        f"{node}:{port + task}"
        for node, count in zip(nodes, tasks, strict=True)
        for task in range(count)
    )
    # Not SLURM_PROCID: tasks may be dealt out to the nodes in turn.
    before = sum(tasks[: int(environment["SLURM_NODEID"])])
    return Place(workers, len(workers), before + int(environment["SLURM_LOCALID"]))


# Names of size, rank and size on this host: of Open MPI, then of MPICH, Intel MPI and their kin.
_MPI = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS"),
)
_MPI_JOB = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")  # the same for all of one mpirun


def _of_mpi(environment: Mapping[str, str]) -> Place | None:
    """Return the processes of mpirun; their hosts are known only where all are on this one."""
    for size_name, rank_name, here_name in _MPI:
        if size_name in environment and rank_name in environment:
            count, index = int(environment[size_name]), int(environment[rank_name])
            here = int(environment.get(here_name, "0"))
            port = _first_port(next((environment[n] for n in _MPI_JOB if n in environment), ""))
            workers = tuple(f"localhost:{port + rank}" for rank in range(count))
            return Place(workers if here == count else (), count, index)
    return None


def _first_port(job: str) -> int:
    """Return a port for the first worker on a host; jobs that share a host hardly have the same."""
    return FIRST_PORT + zlib.crc32(job.encode()) % PORTS


def hosts_of(hostlist: str) -> Iterator[str]:
    """Yield the hosts of a list as SLURM writes it: "node[01-03,07],login" are five.

    Raises:
        ConfigError: it is not such a list.
    """
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", hostlist):
        yield from _expanded(part, hostlist)


def _expanded(pattern: str, hostlist: str) -> Iterator[str]:
    begin, bracket, rest = pattern.partition("[")
    if not bracket:
        yield pattern
        return
    inside, _, end = rest.partition("]")
    for span in inside.split(","):
        first, _, last = span.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise ConfigError("SLURM_STEP_NODELIST", hostlist, 'like "node[01-03,07]"')
        for number in range(int(first), int(last or first) + 1):
            yield from _expanded(f"{begin}{number:0{len(first)}d}{end}", hostlist)


def _tasks_of(text: str) -> Iterator[int]:
    """Tasks of each node as SLURM writes them: "2(x3),1" are 2, 2, 2 and 1."""
    for part in text.split(","):
        count, _, times = part.partition("(x")
        yield from [int(count)] * int(times.rstrip(")") or 1)
