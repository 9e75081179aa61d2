"""Workers that run jobs of a second by a clock of their own, and meet what real ones do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from girder.models.item import Item
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from girder_large_image_annotation.models.annotation import Annotation

from girder_deeplab.models import MODEL_KEY, find_item
from girder_deeplab.runs import Run

CLASSES = ("gland", "stroma", "lumen")
TICK = timedelta(minutes=1)


class ServerDied(BaseException):
    """The process of the server ends where this is raised."""


def as_task(item, user, result_id, run, names=CLASSES, regions="()", model="abc"):
    """Put layers on a slide as SegmentWSI does, and return them."""
    attributes = {
        "cli": "SegmentWSI",
        "run": run,
        "params": {"result_id": result_id, "regions": regions},
        "model": {"sha256": model, "name": f"{model}.zip"},
        "found": [{"name": name, "count": 2, "area_mm2": 0.5} for name in names],
    }
    return [
        Annotation().createAnnotation(
            item, user, {"name": name, "elements": [], "attributes": attributes}
        )
        for name in names
    ]


def digest_of(run):
    """The SHA-256 of the model of a run, as its layers have it."""
    return find_item(run["modelId"])["meta"][MODEL_KEY].get("sha256", "abc")


@dataclass
class Execution:
    """A container that runs a job: one may have several, one after the other or at once."""

    job_id: object
    run: str
    ticks: int  # until it ends
    posted: int = 0
    is_heard: bool = True  # whether its worker still tells the server of it


@dataclass
class FakeWorkers:
    """Two workers and a broker.

    Attributes:
        chance: of what happens.
        user: whose jobs they run.
        now: of their clock.
        trouble: how often each kind of it happens, 0 to 1.
        broken: ids of slides that no task can read.
    """

    chance: Random
    user: dict
    now: datetime
    trouble: dict[str, float] = field(default_factory=dict)
    broken: set = field(default_factory=set)
    queue: list = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    asked: list[dict] = field(default_factory=list)

    def happens(self, what):
        return self.chance.random() < self.trouble.get(what, 0)

    def submit(self, _task, params, user, _api_url):
        if self.happens("no broker"):
            raise ConnectionError("connection refused")
        self.asked.append(dict(params))
        words = ["SegmentWSI", "--result_id", params["result_id"]]
        job = Job().createJob("a slide", "x", user=user, handler="fake", kwargs={"words": words})
        self._set(job, created=self.now)
        if self.happens("server dies before the job is in the queue"):
            raise ServerDied
        self.queue.append(job["_id"])
        if self.happens("broker fails after it has the job"):
            raise ConnectionError("connection reset")
        self._set(job, _original_params=dict(params))
        if self.happens("server dies after the job is in the queue"):
            raise ServerDied
        return job

    def has(self, job):
        held = {each.job_id for each in self.executions if each.is_heard}
        return job["_id"] in held or job["_id"] in self.queue

    def tick(self):
        """Let a minute pass."""
        self.now += TICK
        if self.happens("broker restarts and forgets"):
            self.queue.clear()
        for execution in list(self.executions):
            self._work(execution)
        while self.queue and sum(each.is_heard for each in self.executions) < 2:
            self._begin(self.queue.pop(0))

    def _begin(self, job_id):
        job = Job().load(job_id, force=True)
        if job["status"] == JobStatus.CANCELED and not self.happens("revoked too late"):
            return
        if job["status"] in (JobStatus.INACTIVE, JobStatus.QUEUED):
            Job().updateJob(job, status=JobStatus.RUNNING)
            self._set(job, updated=self.now)
        ticks = self.chance.randint(1, 4)
        self.executions.append(Execution(job_id, f"{self.chance.random()}", ticks))

    def _work(self, execution):
        job = Job().load(execution.job_id, force=True)
        if execution.is_heard and job["status"] == JobStatus.CANCELED:
            self.executions.remove(execution)  # it is told to stop, and takes back what it posted
            self._take_back(execution)
        elif execution.is_heard and self.happens("worker killed"):
            self._lose_worker(execution)
        elif execution.is_heard and self.happens("worker fails without a word of the task"):
            if self.happens("container goes on without its worker"):
                execution.is_heard = False
            else:
                self.executions.remove(execution)
            if job["status"] == JobStatus.RUNNING:
                Job().updateJob(job, status=JobStatus.ERROR, log="ConnectionError: closed")
        else:
            self._go_on(execution, job)

    def _lose_worker(self, execution):
        if self.happens("delivered again"):
            self.queue.append(execution.job_id)
        if self.happens("container goes on without its worker"):
            execution.is_heard = False
            execution.ticks += self.chance.randint(0, 40)
        else:
            self.executions.remove(execution)

    def _go_on(self, execution, job):
        execution.ticks -= 1
        if execution.is_heard:
            self._set(job, updated=self.now)
        result_id = job["kwargs"]["words"][-1]
        run = Run().findOne({"resultId": result_id})
        item = Item().load(run["itemId"], force=True)
        if item is None or item["_id"] in self.broken:
            why = "it is not there" if item is None else "it is no slide"
            self._end(execution, job, JobStatus.ERROR, f"INFO: a line\nerror: a.svs: {why}\n")
            return
        if execution.ticks < 2:
            half = execution.ticks > 0 and self.chance.random() < 0.5
            names = CLASSES[execution.posted : 1 if half else None]
            as_task(item, self.user, result_id, execution.run, names, model=digest_of(run))
            execution.posted += len(names)
        if execution.ticks <= 0:
            self._end(execution, job, JobStatus.SUCCESS)
            if execution.is_heard and self.happens("delivered again"):
                self.queue.append(execution.job_id)

    def _end(self, execution, job, status, log=None):
        self.executions.remove(execution)
        # A job has one end: the server refuses another.
        if execution.is_heard and job["status"] == JobStatus.RUNNING:
            Job().updateJob(job, status=status, log=log)
            self._set(job, updated=self.now)

    def _take_back(self, execution):
        for layer in Annotation().find({"annotation.attributes.run": execution.run}):
            if layer["created"] == layer["updated"]:
                Annotation().remove(layer)

    def _set(self, job, **fields):
        Job().update({"_id": job["_id"]}, {"$set": fields}, multi=False)
