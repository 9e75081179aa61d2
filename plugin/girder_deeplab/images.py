"""Register Docker images of tasks with slicer_cli_web, unless that was done already."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import docker
from docker.errors import DockerException, ImageNotFound
from girder.models.collection import Collection
from girder.models.folder import Folder
from girder.models.setting import Setting
from girder.models.user import User
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from slicer_cli_web.config import PluginSettings as SlicerSettings
from slicer_cli_web.models import DockerImageItem

from girder_deeplab.settings import SettingKey

# A child of Girder's own logger: on Girder 3 that is the one with handlers.
logger = logging.getLogger("girder.deeplab")

# slicer_cli_web makes the new tasks' REST routes when a job of this type succeeds.
JOB_TYPE = "slicer_cli_web_job"
# Where a tag's folder remembers which image its tasks were read from.
IMAGE_ID_KEY = "deeplabImageId"
# A registration reads a few specs; one that is older than this died with its server.
STALE_JOB = timedelta(minutes=15)
DOCKER_TIMEOUT_S = 20
DELIMITERS = {"xml": "<>", "json": "{}"}  # of the forms of tasks, by their kind

Document = dict[str, Any]
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class ImageState:
    """An image as Docker has it and as slicer_cli_web knows it."""

    name: str
    available: str | None  # its id in Docker, None where Docker has no such image
    registered: str | None  # the id that its tasks were read from, None if they were not


def register_in_background() -> None:
    """Start `register_changed` beside the caller, which must not wait for Docker."""
    threading.Thread(target=register_changed, name="deeplab-register", daemon=True).start()


def register_changed() -> list[Document]:
    """Schedule a job for each configured image that is new or has changed; returns the jobs.

    What stands in the way (no Docker, no image, no administrator yet) is logged as one warning.
    """
    with _one_at_a_time:
        names = Setting().get(SettingKey.IMAGES)
        if not names:
            return []
        admin = User().findOne({"admin": True}, sort=[("created", 1)])
        if admin is None:
            logger.info("The DeepLab tasks are registered as soon as there is an administrator.")
            return []
        try:
            states = image_states(names)
        except DockerException as error:
            logger.warning(
                "The DeepLab tasks were not registered, because Docker does not answer on this "
                "server: %s",
                error,
            )
            return []
        jobs = [_schedule(state, admin) for state in states if _is_due(state)]
        return [job for job in jobs if job]


def image_states(names: list[str]) -> list[ImageState]:
    """Return the state of each image, as Docker and slicer_cli_web say it.

    Raises:
        DockerException: no Docker daemon answers.
    """
    client = docker.from_env(version="auto", timeout=DOCKER_TIMEOUT_S)
    try:
        return [
            ImageState(name, _available_id(client, name), _registered_id(name)) for name in names
        ]
    finally:
        client.close()


def run(job: Document) -> None:
    """The job: read an image's tasks, hand them to slicer_cli_web, and remember which image it was.

    slicer_cli_web has a function for this on Girder 3, and a task for its workers on Girder 5.
    """
    (name,) = job["kwargs"]["nameList"]
    job = Job().updateJob(job, status=JobStatus.RUNNING, log=f"Reading the tasks of {name}\n")
    client = None
    try:
        user = User().load(job["userId"], force=True, exc=True)
        folder = Folder().load(job["kwargs"]["folder"], force=True, exc=True)
        client = docker.from_env(version="auto", timeout=DOCKER_TIMEOUT_S)
        image = client.images.get(name)
        DockerImageItem.saveImage(name, _read_tasks(client, name), image, user, folder)
        Folder().setMetadata(tag_folder(name), {IMAGE_ID_KEY: job[IMAGE_ID_KEY]})
    except Exception as error:
        # An image may print and hold anything; whatever it is, the job says that it failed.
        logger.exception("The tasks of %s were not registered.", name)
        Job().updateJob(job, log=f"error: {error}\n", status=JobStatus.ERROR)
    else:
        Job().updateJob(job, status=JobStatus.SUCCESS)
    finally:
        if client is not None:
            client.close()


def _read_tasks(client: docker.DockerClient, name: str) -> dict[str, Document]:
    """Return the tasks of an image by their names, each with its form, as slicer_cli_web has them.

    Raises:
        ValueError, KeyError: the image does not print them.
        DockerException: it does not run.
    """
    tasks = json.loads(_printed(client, name, ["--list_cli"]))
    for task, told in tasks.items():
        kind = told.get("desc-type", "xml")
        first, last = DELIMITERS[kind]
        printed = _printed(client, name, [task, f"--{kind}"])
        # Programs may say other things before and after it.
        told[kind] = printed[printed.index(first) : printed.rindex(last) + 1]
    return tasks


def _printed(client: docker.DockerClient, name: str, words: list[str]) -> str:
    container = client.containers.create(image=name, command=words)
    try:
        container.start()
        code = container.wait()["StatusCode"]
        text = container.logs(stdout=True, stderr=False).decode()
    finally:
        container.remove()
    if code:
        raise ValueError(f"{name} {' '.join(words)} ended with {code}")
    return text


def _is_due(state: ImageState) -> bool:
    if state.available is None:
        logger.warning(
            "The DeepLab tasks of %s were not registered, because Docker has no such image on this "
            "server; build or pull it, or change the setting %s.",
            state.name,
            SettingKey.IMAGES,
        )
        return False
    return state.available != state.registered


def _schedule(state: ImageState, admin: Document) -> Document | None:
    """Start the registration unless another server process has just started the same one."""
    active = {
        "type": JOB_TYPE,
        IMAGE_ID_KEY: state.available,
        "status": {"$in": [JobStatus.INACTIVE, JobStatus.QUEUED, JobStatus.RUNNING]},
        "updated": {"$gt": datetime.now(timezone.utc) - STALE_JOB},
    }
    if Job().findOne(active) is not None:
        return None
    job = Job().createLocalJob(
        module="girder_deeplab.images",
        kwargs={"nameList": [state.name], "folder": task_folder(admin)["_id"], "pull": False},
        title=f"Registering the tasks of {state.name}",
        type=JOB_TYPE,
        user=admin,
        public=True,
        asynchronous=True,
        otherFields={IMAGE_ID_KEY: state.available},
    )
    Job().scheduleJob(job)
    return job


def task_folder(admin: Document) -> Document:
    """The folder of all tasks; made, readable by everyone, and set where no setting names one."""
    folder = _set_task_folder()
    if folder is None:
        collection = Collection().createCollection(
            "Tasks", creator=admin, public=True, reuseExisting=True
        )
        folder = Folder().createFolder(
            collection,
            "Slicer CLI Web Tasks",
            parentType="collection",
            creator=admin,
            public=True,
            reuseExisting=True,
        )
        Setting().set(SlicerSettings.SLICER_CLI_WEB_TASK_FOLDER, str(folder["_id"]))
    return folder


def _set_task_folder() -> Document | None:
    """The folder that the setting names; None if it names none, or one that was deleted."""
    folder_id = Setting().get(SlicerSettings.SLICER_CLI_WEB_TASK_FOLDER)
    return Folder().load(folder_id, force=True) if folder_id else None


def _available_id(client: docker.DockerClient, name: str) -> str | None:
    try:
        return client.images.get(name).id
    except ImageNotFound:
        return None


def _registered_id(name: str) -> str | None:
    folder = tag_folder(name)
    if folder is None or not any(True for _ in Folder().childItems(folder, limit=1)):
        return None
    return folder.get("meta", {}).get(IMAGE_ID_KEY)


def tag_folder(name: str) -> Document | None:
    """Return where slicer_cli_web keeps an image's tasks: <task folder>/<repository>/<tag>."""
    task_root = _set_task_folder()
    if task_root is None:
        return None
    repository, _, tag = name.partition("@") if "@" in name else name.rpartition(":")
    image_folder = Folder().findOne({"parentId": task_root["_id"], "name": repository})
    if image_folder is None:
        return None
    return Folder().findOne({"parentId": image_folder["_id"], "name": tag})
