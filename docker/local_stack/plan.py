"""Where a stack lives and which ports it uses."""

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_IMAGE = "histomics-deeplab:latest"


class StackError(Exception):
    """The stack cannot be brought up; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One stack: the folder of what is built once, the folder of its data, and its ports."""

    home: Path
    data: Path
    girder_port: int
    mongo_port: int
    redis_port: int
    image: str = DEFAULT_IMAGE

    @property
    def python(self) -> Path:
        """Python of the environment that holds Girder and the worker."""
        return self.home / "venv/bin/python"

    @property
    def url(self) -> str:
        """Girder's address on this machine."""
        return f"http://127.0.0.1:{self.girder_port}"

    @property
    def mongo_uri(self) -> str:
        """Girder's database."""
        return f"mongodb://127.0.0.1:{self.mongo_port}/girder"

    @property
    def redis_url(self) -> str:
        """The worker's broker and result store."""
        return f"redis://127.0.0.1:{self.redis_port}/0"


def default_plan(girder_port: int = 8080) -> Plan:
    """The stack of `make histomicsui`: everything under `.stack/`, its helpers on nearby ports."""
    home = REPOSITORY / ".stack"
    return Plan(
        home=home,
        data=home / "data",
        girder_port=girder_port,
        mongo_port=girder_port + 19_000,
        redis_port=girder_port + 19_001,
    )


def private_plan(data: Path, image: str = DEFAULT_IMAGE) -> Plan:
    """A stack for tests: free ports and its own data, but the environment that is built once."""
    girder_port, mongo_port, redis_port = free_ports(3)
    return Plan(
        home=REPOSITORY / ".stack",
        data=data,
        girder_port=girder_port,
        mongo_port=mongo_port,
        redis_port=redis_port,
        image=image,
    )


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, all different."""
    held = [socket.create_server(("0.0.0.0", 0)) for _ in range(count)]  # noqa: S104  as Girder does
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def admin_password(plan: Plan) -> str:
    """The administrator's password of a stack on this machine."""
    return kept_secret(plan.data / "admin-password")


def kept_secret(path: Path) -> str:
    """The secret in a file, made at the first call and kept readable for its owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(9))
    return path.read_text()
