"""Docker: is it there, what is its bridge's address, and this repository's image."""

import ipaddress
import json
import subprocess

from local_stack.environment import run_logged
from local_stack.plan import REPOSITORY, Plan, StackError


def check_docker() -> None:
    """Make sure that a Docker daemon answers.

    Raises:
        StackError: none does, or this user may not use it.
    """
    try:
        asked = _docker("info", "--format", "{{.ServerVersion}}")
    except FileNotFoundError:
        raise StackError("docker was not found (on Debian: apt-get install docker.io)") from None
    if asked.returncode:
        said = (asked.stderr or asked.stdout).strip().splitlines()
        raise StackError(
            "Docker does not answer; start its daemon, or run as a user who may use it"
            + (f" ({said[-1]})" if said else "")
        )


def bridge_address() -> str:
    """The address under which containers reach this machine.

    Raises:
        StackError: the daemon has no bridge network.
    """
    asked = _docker("network", "inspect", "bridge", "-f", "{{json .IPAM.Config}}")
    pools = json.loads(asked.stdout or "[]") if asked.returncode == 0 else []
    if not pools:
        raise StackError("Docker has no bridge network, so containers could not reach Girder")
    # A daemon that chose the network itself may not name the gateway: it is the first address.
    first = next(ipaddress.ip_network(pools[0]["Subnet"]).hosts())
    return pools[0].get("Gateway") or str(first)


def image_id(name: str) -> str | None:
    """The id of an image on this machine, None if it is not here."""
    asked = _docker("image", "inspect", "-f", "{{.Id}}", name)
    return asked.stdout.strip() if asked.returncode == 0 else None


def running_containers(image: str) -> list[str]:
    """Names of the containers of an image that run at this moment."""
    asked = _docker("ps", "--filter", f"ancestor={image}", "--format", "{{.Names}}")
    return asked.stdout.split()


def build_image(plan: Plan, device: str = "cpu") -> None:
    """Build the tasks' image from this working tree; layers that did not change are reused.

    The image that it replaces is removed, unless a container or another name still needs it.

    Raises:
        StackError: the build failed; the message ends with what it printed last.
    """
    replaced = image_id(plan.image)
    run_logged(
        ["docker", "build", "--build-arg", f"DEVICE={device}", "--tag", plan.image, REPOSITORY],
        plan.home / "logs/image-build.log",
        f"building the image {plan.image}",
    )
    unnamed = _docker("images", "--quiet", "--no-trunc", "--filter", "dangling=true").stdout.split()
    if replaced in unnamed:
        _docker("image", "rm", replaced)


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
