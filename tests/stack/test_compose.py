"""The site of docker/compose.yml: up, a slide segmented, down and up again, with everything kept."""

import json
import os
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from local_stack.containers import check_docker
from local_stack.environment import MONGO_WHEEL
from local_stack.girder_site import ADMIN, COLLECTION, MODELS, sample_slide, wait_for_tasks
from local_stack.plan import DEFAULT_IMAGE, REPOSITORY, StackError, default_plan, free_ports
from local_stack.rest import GirderRest, RestError
from tests.stack.running_site import JOB_STATUS, log, wait_for_job

FILE = REPOSITORY / "docker/compose.yml"
STAND_INS = REPOSITORY / "tests/stack/stand_ins.yml"
PUBLIC = ("mongo:6.0", "redis:7.0")
GPUS = {"count": -1, "capabilities": [["gpu"]]}  # as docker.types.DeviceRequest takes it: all
SAVED = ("mongo", "assetstore", "secrets")
REGION = [200, 300, 300, 300]
PATIENCE_S = 300
USER = "1234:1234"
STRANGERS_PASSWORD = secrets.token_urlsafe()


def compose_command():
    """The words of Docker's own Compose, or of the one that came before it."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    program = shutil.which("docker-compose")
    if program is None:
        sentence = "docker-compose was not found (on Debian: apt-get install docker-compose)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    return [program]


def has_public_images():
    """Whether the images that others publish are here or can be had."""
    for image in PUBLIC:
        here = subprocess.run(
            ["docker", "image", "inspect", image], capture_output=True, check=False
        )
        if (
            here.returncode
            and subprocess.run(
                ["timeout", "300", "docker", "pull", "-q", image], capture_output=True, check=False
            ).returncode
        ):
            return False
    return True


@dataclass(frozen=True)
class ComposedSite:
    """A site by Compose under a name of its own."""

    name: str
    words: list[str]
    scratch: Path
    port: int

    def compose(self, *words):
        """What a command of Compose prints."""
        settings = {
            "DEEPLAB_PORT": f"127.0.0.1:{self.port}",
            "DEEPLAB_SCRATCH": str(self.scratch),
            "DEEPLAB_USER": USER,
            "MONGO_WHEEL": MONGO_WHEEL,
        }
        done = subprocess.run(
            [*self.words, *words],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def container(self, service):
        """What Docker knows of the one container of a service."""
        (name,) = self.compose("ps", "-q", service).split()
        told = subprocess.run(["docker", "inspect", name], capture_output=True, check=True)
        return json.loads(told.stdout)[0]

    def inside(self, service, *words):
        """A command in the container of a service."""
        name = self.container(service)["Id"]
        return subprocess.run(
            ["docker", "exec", name, *words], capture_output=True, text=True, check=False
        )

    def archive(self, volume, folder, *words):
        """Have tar work with a volume of the site and a folder of this machine."""
        mounts = ["-v", f"{self.name}_{volume}:/volume", "-v", f"{folder}:/folder"]
        words = [word.format(volume) for word in words]
        command = ["docker", "run", "--rm", *mounts, "busybox", "tar", *words]
        subprocess.run(command, check=True)

    def password(self):
        return self.compose(
            "run", "--rm", "--no-deps", "-T", "--entrypoint", "cat",
            "provision", "/data/secrets/admin-password",
        )  # fmt: skip

    def session(self):
        """The administrator's session, once workers and server are well."""
        deadline = time.monotonic() + PATIENCE_S
        for service in ("girder", "worker"):
            while self.container(service)["State"]["Health"]["Status"] != "healthy":
                assert time.monotonic() < deadline, self.compose("logs", "--tail", "50", service)
                time.sleep(1)
        girder = GirderRest(f"http://127.0.0.1:{self.port}")
        girder.login(ADMIN, self.password())
        # Whoever builds the image in the meantime takes its name: the plugin looks again.
        girder.put("system/setting", key="deeplab.images", value=[DEFAULT_IMAGE])
        wait_for_tasks(girder, DEFAULT_IMAGE)
        return girder


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    """A site that is up, of images as this checkout makes them."""
    try:
        check_docker()
    except StackError as missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
    (port,) = free_ports(1)
    scratch = tmp_path_factory.mktemp("composed")
    files = [FILE, *([] if has_public_images() else [STAND_INS])]
    name = f"deeplab-test-{port}"
    words = [*compose_command(), "-p", name]
    for file in files:
        words += ["-f", str(file)]
    site = ComposedSite(name, words, scratch, port)
    try:
        site.compose("up", "--build", "-d")
        yield site
    finally:
        site.compose("down", "--volumes", "--timeout", "20")


def test_a_site_of_one_command_segments_a_slide_and_comes_back_from_what_was_saved(
    composed, tmp_path
):
    girder = composed.session()
    slide_id, file_id, model_id = upload(girder)
    names = segment(girder, file_id, model_id, slide_id)
    password = composed.password()
    logs = composed.compose("logs")
    assert "POST /api/v1/slicer_cli_web/cli/" in logs
    assert password not in logs
    assert "--girderToken" not in logs
    composed.compose("down", "--timeout", "20")
    for volume in SAVED:
        composed.archive(volume, tmp_path, "-czf", "/folder/{}.tar.gz", "-C", "/volume", ".")
    composed.compose("down", "--volumes")
    for volume in SAVED:
        composed.archive(volume, tmp_path, "-xzf", "/folder/{}.tar.gz", "-C", "/volume")
    composed.compose("up", "-d")
    girder = composed.session()
    assert composed.password() == password
    assert layer_names(girder, slide_id) == names
    girder.delete(f"annotation/item/{slide_id}")
    assert segment(girder, file_id, model_id, slide_id) == names


def test_only_the_web_port_is_open_and_nothing_runs_as_root(composed):
    composed.session()
    for service in ("mongo", "broker", "girder", "worker"):
        ports = composed.container(service)["HostConfig"]["PortBindings"] or {}
        assert list(ports) == (["8080/tcp"] if service == "girder" else []), service
        user = composed.inside(service, "stat", "-c", "%u", "/proc/1").stdout.strip()
        assert user != "0", service
        if service in ("girder", "worker"):
            assert user == USER.split(":")[0], service


def test_jobs_reach_the_server_and_not_the_database(composed):
    composed.session()
    assert composed.inside("worker", "getent", "hosts", "girder").returncode == 0
    assert composed.inside("worker", "getent", "hosts", "mongo").returncode != 0


def test_all_that_stays_starts_again_and_the_worker_for_gpus_asks_for_them(tmp_path):
    words = [*compose_command(), "-p", "deeplab", "-f", str(FILE)]
    said = ComposedSite("deeplab", words, tmp_path, 8080).compose("--profile", "gpu", "config")
    services = yaml.safe_load(said)["services"]
    staying = {name for name, told in services.items() if told.get("restart") == "unless-stopped"}
    assert staying == set(services) - {"tasks", "provision"}
    for name, devices in (("worker", []), ("worker-gpu", [GPUS])):
        environment = services[name]["environment"]
        options = json.loads(environment["GIRDER_WORKER_DOCKER_RUN_OPTIONS"])
        assert options["device_requests"] == devices
        assert options["volumes"] == [f"{tmp_path}/models:/opt/deeplab-cache:rw"]
        assert environment["TMPDIR"] == str(tmp_path)


def test_strangers_do_not_become_administrators(composed):
    composed.session()
    stranger = GirderRest(f"http://127.0.0.1:{composed.port}")
    made = stranger.post_form(
        "user", login="stranger", password=STRANGERS_PASSWORD, email="stranger@stack.invalid",
        firstName="A", lastName="Stranger",
    )  # fmt: skip
    assert not made["admin"]
    with pytest.raises(RestError):
        GirderRest(stranger.url).login(ADMIN, STRANGERS_PASSWORD)


def upload(girder):
    """The sample slide's item and file, and the demonstration model's file."""
    collection = girder.post("collection", name=COLLECTION, public=True)["_id"]
    folder = girder.post(
        "folder", parentType="collection", parentId=collection, name="Slides", public=True
    )["_id"]
    slide = girder.upload(sample_slide(default_plan().home), folder)
    model = girder.upload(sorted(MODELS.glob("*.zip"))[0], folder)
    return slide["itemId"], slide["_id"], model["_id"]


def segment(girder, file_id, model_id, slide_id):
    """Segment a region of the slide by a job; returns the names of its layers then."""
    (task,) = [each for each in girder.get("slicer_cli_web/cli") if each["name"] == "SegmentWSI"]
    job = girder.post(
        f"slicer_cli_web/cli/{task['_id']}/run", girderApiUrl="", girderToken="",
        inputImageFile=file_id, inputModelFile=model_id, region=REGION,
    )  # fmt: skip
    job, _ = wait_for_job(girder, job)
    assert JOB_STATUS[job["status"]] == "success", log(job)
    names = layer_names(girder, slide_id)
    assert names
    return names


def layer_names(girder, slide_id):
    found = girder.get("annotation", itemId=slide_id, limit=0)
    return sorted(each["annotation"]["name"] for each in found)
