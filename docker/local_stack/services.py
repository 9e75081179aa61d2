"""The four long-running programs of a stack: start, look, stop."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.environment import mongod
from local_stack.plan import Plan, StackError

STOP_TIMEOUT_S = 20.0
# Programs started by this very process: they may outlive it, but while it lives it must reap them.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A program of a stack; its process id and log lie in the stack's data folder."""

    name: str
    command: Sequence[str | Path]
    data: Path
    port: int | None = None  # that it answers on, if it does
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def pid_file(self) -> Path:
        """Holds "process-id start-time", so that a reused process id is not taken for ours."""
        return self.data / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """Everything that the program prints."""
        return self.data / f"logs/{self.name}.log"

    def pid(self) -> int | None:
        """The process id while it runs."""
        if not self.pid_file.exists():
            return None
        pid, started = self.pid_file.read_text().split()
        return int(pid) if _start_time(int(pid)) == started else None

    def start(self, ready: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Start it unless it runs, and wait until it is ready.

        Raises:
            StackError: its port is taken, it ended at once, or it was not ready in time.
        """
        if self.pid() is None:
            if self.port is not None and _answers(self.port):
                raise StackError(
                    f"port {self.port} is taken by another program; {self.name} needs it: "
                    "stop that program or choose another port"
                )
            self._launch()
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.pid() is None:
                raise StackError(f"{self.name} ended at start; see {self.log}\n{self._log_tail()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready in {timeout_s:.0f} s; see {self.log}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Ask it to end, wait, then end it; no process of it is left."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while self.pid() is not None and time.monotonic() < deadline:
                time.sleep(0.1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # its children too: it leads its own group
            if pid in _children:
                _children.pop(pid).wait()
        self.pid_file.unlink(missing_ok=True)

    def _launch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [str(word) for word in self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                cwd=self.data,
                start_new_session=True,
            )
        _children[process.pid] = process
        self.pid_file.write_text(f"{process.pid} {_start_time(process.pid)}")

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])


def mongo_service(plan: Plan) -> Service:
    """MongoDB."""
    (plan.data / "mongo").mkdir(parents=True, exist_ok=True)
    options = ["--wiredTigerCacheSizeGB", "0.5", "--bind_ip", "127.0.0.1"]
    return Service(
        name="mongod",
        command=[mongod(plan), "--dbpath", "mongo", "--port", str(plan.mongo_port), *options],
        data=plan.data,
        port=plan.mongo_port,
    )


def redis_service(plan: Plan) -> Service:
    """The broker; it keeps nothing on disk.

    Raises:
        StackError: redis-server is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise StackError("redis-server was not found (on Debian: apt-get install redis-server)")
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Service(
        name="redis",
        command=[program, "--port", str(plan.redis_port), *options],
        data=plan.data,
        port=plan.redis_port,
    )


def girder_service(plan: Plan) -> Service:
    """Girder with HistomicsUI, open to containers as well as to this machine."""
    config = plan.data / "girder.cfg"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        "[global]\n"
        'server.socket_host = "0.0.0.0"\n'
        f"server.socket_port = {plan.girder_port}\n"
        "[database]\n"
        f'uri = "{plan.mongo_uri}"\n'
        "[server]\n"
        'mode = "production"\n'
        "[logging]\n"
        f'log_root = "{plan.data / "logs"}"\n'
    )
    return Service(
        name="girder",
        command=[plan.home / "venv/bin/girder", "serve"],
        data=plan.data,
        port=plan.girder_port,
        env={**_worker_env(plan), "GIRDER_CONFIG": str(config)},
    )


def worker_service(plan: Plan) -> Service:
    """The Celery worker that runs the jobs in Docker."""
    command = [plan.python, "-m", "celery", "-A", "girder_worker.app", "worker"]
    return Service(
        name="worker",
        command=[*command, "--loglevel", "info", "--concurrency", "2"],
        data=plan.data,
        env={**_worker_env(plan), "C_FORCE_ROOT": "1"},
    )


def worker_answers(plan: Plan) -> bool:
    """Return whether the worker takes jobs."""
    asked = subprocess.run(
        [plan.python, "-m", "celery", "-A", "girder_worker.app", "inspect", "ping", "-t", "2"],
        env={**os.environ, **_worker_env(plan)},
        cwd=plan.data,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0


def port_answers(port: int) -> Callable[[], bool]:
    """A readiness check: somebody accepts connections on the port."""
    return lambda: _answers(port)


def _worker_env(plan: Plan) -> dict[str, str]:
    scratch = plan.data / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    return {
        "GIRDER_WORKER_BROKER": plan.redis_url,
        "GIRDER_WORKER_BACKEND": plan.redis_url,
        "TMPDIR": str(scratch),  # job folders, so that a test can see what a job leaves behind
    }


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start_time(pid: int) -> str | None:
    """Return the start of a process in the kernel's ticks; None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if fields[0] == "Z" else fields[19]
