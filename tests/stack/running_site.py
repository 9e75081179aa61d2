"""The running stack as a test uses it: start tasks, wait for jobs, look at layers."""

import shutil
import time
from dataclasses import dataclass

from local_stack.containers import running_containers
from local_stack.girder_site import SLIDE_NAME
from local_stack.rest import GirderRest
from local_stack.services import worker_service
from local_stack.stack import RunningStack

JOB_STATUS = {2: "running", 3: "success", 4: "error", 5: "cancelled"}
ENDS = ("success", "error", "cancelled")
JOB_TIMEOUT_S = 600


@dataclass(frozen=True)
class Site:
    """The running stack as a test uses it."""

    running: RunningStack
    girder: GirderRest

    def task_id(self, name):
        (task,) = [t for t in self.girder.get("slicer_cli_web/cli") if t["name"] == name]
        return task["_id"]

    def start(self, task, girder=None, **params):
        """Start a task; the server fills its own address and a token in where the keys are empty."""
        params = {"girderApiUrl": "", "girderToken": "", **params}
        return (girder or self.girder).post(
            f"slicer_cli_web/cli/{self.task_id(task)}/run", **params
        )

    def wait(self, job, until=ENDS):
        """The job once it has come to one of these states, and each progress seen on the way."""
        return wait_for_job(self.girder, job, until, check=self._check_worker)

    def _check_worker(self, job):
        assert worker_service(self.running.plan).pid(), f"no worker for {job['title']}"

    def succeed(self, job):
        """Do as `wait`, for a job that comes to a good end."""
        job, seen = self.wait(job)
        assert JOB_STATUS[job["status"]] == "success", log(job)
        return job, seen

    def run(self, task, **params):
        """Run a task to its good end."""
        return self.succeed(self.start(task, **params))

    def folder(self, name):
        """A new folder in the collection."""
        (collection,) = self.girder.get("collection")[:1]
        return self.girder.post(
            "folder", parentType="collection", parentId=collection["_id"], name=name, public=True
        )["_id"]

    def upload_slide(self, name, folder_id):
        """The sample slide under another name, as a slide that nobody has annotated."""
        source = self.running.plan.home / "slides" / SLIDE_NAME
        copy = self.running.plan.data / name
        shutil.copy(source, copy)
        return self.girder.upload(copy, folder_id)["itemId"]

    def file_id(self, item_id):
        return self.girder.get(f"item/{item_id}/files")[0]["_id"]

    def layers(self, item_id):
        """The annotations of an item with their elements, by name."""
        found = self.girder.get("annotation", itemId=item_id, limit=0)
        full = [self.girder.get(f"annotation/{one['_id']}") for one in found]
        return {one["annotation"]["name"]: one["annotation"] for one in full}

    def clear(self, item_id):
        self.girder.delete(f"annotation/item/{item_id}")

    def leftovers(self, patience_s=30):
        """What jobs left on this machine for good: containers, and job folders of the worker.

        The worker says that a job is done before it has tidied up after it. Of a job that neither
        reads nor writes files it leaves an empty folder: that is girder_worker's way.
        """
        deadline = time.monotonic() + patience_s
        while True:
            left = running_containers(self.running.plan.image)
            folders = sorted((self.running.plan.data / "tmp").glob("tmp*"))
            left += [str(folder) for folder in folders if any(folder.iterdir())]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.5)


def wait_for_job(girder, job, until=ENDS, *, check=lambda _job: None):
    """The job once it has come to one of some states, and each progress seen; `check` looks at it."""
    seen, deadline = [], time.monotonic() + JOB_TIMEOUT_S
    while True:
        job = girder.get(f"job/{job['_id']}")
        if job.get("progress") and job["progress"] not in seen:
            seen.append(job["progress"])
        if JOB_STATUS.get(job["status"]) in until:
            return job, seen
        assert time.monotonic() < deadline, f"job {job['title']} hangs: {log(job)}"
        check(job)
        time.sleep(0.3)


def log(job):
    return "".join(job.get("log") or [])
