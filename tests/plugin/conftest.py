"""A real MongoDB for Girder's fixtures, and a Docker that a test fills as it likes."""

import importlib.util
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

FORMS = Path(__file__).parents[2] / "slicer_cli_spec"

if importlib.util.find_spec("girder") is None:
    collect_ignore_glob = ["test_*.py"]  # they have their own run: make test-plugin
else:
    from docker.errors import DockerException, ImageNotFound
    from girder.constants import AccessType
    from girder.models import model_base
    from girder.models.collection import Collection
    from girder.models.file import File
    from girder.models.folder import Folder
    from girder.models.item import Item
    from girder_jobs.models.job import Job

    from girder_deeplab import images, tasks
    from girder_deeplab.models import MODEL_KEY
    from girder_deeplab.settings import DEFAULT_IMAGE
    from local_stack.plan import default_plan, free_ports
    from local_stack.services import Service, mongod, port_answers


@pytest.fixture(scope="session", autouse=True)
def mongo(request, tmp_path_factory):
    """A private MongoDB; pytest-girder's `db` connects to it."""
    data = tmp_path_factory.mktemp("mongo")
    (port,) = free_ports(1)
    service = Service(
        name="mongod",
        command=[mongod(default_plan()), "--dbpath", data, "--port", str(port)],
        data=data,
        port=port,
    )
    service.start(port_answers(port))
    request.config.option.mongo_uri = f"mongodb://127.0.0.1:{port}"
    yield
    service.stop()


@dataclass
class FakeDocker:
    """Stands for the Docker daemon: knows images by name and what each prints."""

    ids: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)  # what any image prints, by its words
    down: bool = False
    runs: list[str] = field(default_factory=list)

    def from_env(self, **_kwargs):
        if self.down:
            raise DockerException("connection refused")
        return self

    @property
    def images(self):
        return self

    @property
    def containers(self):
        return self

    def get(self, name):
        if name not in self.ids:
            raise ImageNotFound(f"no such image: {name}")
        return FakeImage(self.ids[name])

    def create(self, *, image, command):
        words = command if isinstance(command, str) else " ".join(command)
        self.runs.append(f"{image} {words}")
        return FakeContainer(self.answers[words])

    def close(self):
        pass


@dataclass
class FakeImage:
    id: str

    @property
    def labels(self):
        return {"description": "a test image"}

    @property
    def attrs(self):
        return {"RepoDigests": []}


@dataclass
class FakeContainer:
    """A container that prints what its image prints for these words."""

    stdout: str

    def start(self):
        pass

    def wait(self):
        return {"StatusCode": 0}

    def logs(self, **_kwargs):
        return self.stdout.encode()

    def remove(self):
        pass


@pytest.fixture(autouse=True)
def fake_docker(monkeypatch):
    """No test here meets the machine's own Docker."""
    fake = FakeDocker()
    monkeypatch.setattr("docker.from_env", fake.from_env)
    return fake


@pytest.fixture(autouse=True)
def no_driver(monkeypatch):
    """Batches go on here when a test says so; it is asked for before the server starts."""
    monkeypatch.setattr("girder_deeplab.driver.start", lambda *_looks: None)


@pytest.fixture
def no_stale_models():
    """Forget the models of earlier tests, which pytest-girder else connects anew for every test.

    Their indexes would be made as often, and each test would begin later than the one before.
    """
    known = model_base._modelSingletons
    known[:] = [each for each in known if type(each)._instance is each]


@pytest.fixture(autouse=True)
def settle(request, fake_docker, no_driver, no_stale_models):
    """Waits for registrations under way: call it before counting; it runs before the database goes.

    By then the server is up: one with a port where a test asks for that.
    """
    asked = "boundServer" if "boundServer" in request.fixturenames else "server"
    request.getfixturevalue(asked)

    def join_threads():
        for thread in threading.enumerate():
            if thread.name == "deeplab-register":
                thread.join(timeout=30)

    yield join_threads
    join_threads()


@pytest.fixture
def register(admin, settle):
    """What makes the item of a task as slicer_cli_web registers it."""

    def make(name):
        root = images.task_folder(admin)
        repository, _, tag = DEFAULT_IMAGE.partition(":")
        folder = root
        for each in (repository, tag):
            folder = Folder().createFolder(
                folder, each, creator=admin, public=True, reuseExisting=True
            )
        meta = {"slicerCLIType": "task", "type": "python", "image": DEFAULT_IMAGE}
        meta |= {"digest": "sha256:1", "xml": (FORMS / f"{name}.xml").read_text()}
        return Item().setMetadata(Item().createItem(name, admin, folder), meta)

    return make


@pytest.fixture
def folder(user, admin, settle):
    """A folder to which the user may write."""
    collection = Collection().createCollection("Slides", creator=admin, public=True)
    made = Folder().createFolder(
        collection, "liver", parentType="collection", creator=admin, public=True
    )
    return Folder().setUserAccess(made, user, AccessType.WRITE, save=True)


@pytest.fixture
def slides(user, folder):
    """Three slides in it."""
    made = [Item().createItem(f"S{number}.svs", user, folder) for number in range(3)]
    for item in made:
        Item().update({"_id": item["_id"]}, {"$set": {"largeImage": {"fileId": item["_id"]}}})
    return made


@pytest.fixture
def started(monkeypatch):
    """What slicer_cli_web was asked for, instead of a job that a broker would take."""
    asked = []

    def handler(task):
        def run(_task, params, user, _token):
            asked.append((task.name, params))
            return SimpleNamespace(job=Job().createJob("a job", "fake", user=user))

        run.subHandler = run
        return run

    monkeypatch.setattr(tasks, "genHandlerToRunDockerCLI", handler)
    return asked


@pytest.fixture
def model(admin, settle):
    """A model that everyone may read, with a file of which there is only the name."""
    collection = Collection().createCollection("Models", creator=admin, public=True)
    shelf = Folder().createFolder(
        collection, "all", parentType="collection", creator=admin, public=True
    )
    item = Item().createItem("glands.zip", admin, shelf)
    File().createLinkFile("glands.zip", item, "item", "http://localhost/glands.zip", admin)
    return Item().setMetadata(item, {MODEL_KEY: {"task": "SegmentWSI", "archived": False}})
