"""The image without Docker: Podman runs it, with what Docker's own run of it answers."""

import json
import os
import shutil
import subprocess
import tempfile

import pytest

from local_stack.girder_site import MODELS
from tests.slides_for_tests import tissue, write_tiff

# In what Podman says where the machine does not let it start a container, or keep an image.
REFUSALS = ("OCI", "overlay")
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]  # no more than one has


@pytest.fixture
def podman(stack):
    """How a command of Podman begins; it has the image, in a store of its own."""
    if shutil.which("podman") is None:
        sentence = "podman was not found (on Debian: apt-get install podman)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    with tempfile.TemporaryDirectory(prefix="podman-") as store:  # Podman takes no long path
        command = ["podman", "--root", f"{store}/store", "--runroot", f"{store}/run"]
        if shutil.which("runc"):  # crun, Podman's first choice, refuses machines with both cgroups
            command += ["--runtime", "runc"]
        run([*command, "pull", "--quiet", f"docker-daemon:{stack.plan.image}"])
        yield command
        run([*command, "image", "rm", "--all", "--force"])


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    refused = done.returncode and any(word in done.stderr for word in REFUSALS)
    if command[0] == "podman" and refused:
        pytest.skip(f"Podman does not run on this machine: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr


def test_podman_segments_a_slide_as_docker_does(stack, podman, tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    folder.chmod(0o777)
    write_tiff(folder / "s.tiff", tissue(600, 500)[0], compression="deflate")
    shutil.copy(MODELS / "nuclei_instances.zip", folder / "model.zip")
    words = ["run", "--rm", "--network", "none", "--volume", f"{folder}:/slides"]
    said = [stack.plan.image, "segment", "/slides/s.tiff", "--model", "/slides/model.zip"]
    layers = []
    for program, more in ((["docker"], []), (podman, LIMITS)):
        result = f"/slides/{len(layers)}.anot"
        run([*program, *words, *more, *said, "--annotation", result])
        told = json.loads((folder / result.removeprefix("/slides/")).read_text())
        layers.append([each["elements"] for each in told])
    assert layers[0] == layers[1]
    assert layers[0][0]
