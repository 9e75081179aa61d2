"""Why a job of the tasks failed: the one sentence of its log, where people look first."""

from __future__ import annotations

import re

from girder import events
from girder.models.setting import Setting
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job

from girder_deeplab.cards import Document
from girder_deeplab.settings import SettingKey

ENDS = (JobStatus.SUCCESS, JobStatus.ERROR, JobStatus.CANCELED)
REASON_KEY = "deeplabReason"  # of a job
SENTENCE = re.compile(r"^error: (.+)$", re.MULTILINE)  # as the tasks print it
MOST_LETTERS = 1000


def show_reason(event: events.Event) -> None:
    """Make the last sentence of a failed job's log the message of its progress.

    girder_worker ends the log with a traceback of its own, in which it drowns.
    """
    job = event.info["job"]
    if job.get("status") != JobStatus.ERROR or REASON_KEY in job or not task_of(job):
        return
    reason = _sentence(job)
    if reason:
        Job().updateJob(job, progressMessage=reason, otherFields={REASON_KEY: reason})


def tell_job(job_id: object, message: str, status: int | None = None, **progress: int) -> None:
    """Say in a job that stands for something how far that is, unless the job has ended.

    Args:
        job_id: of the job.
        message: where it says this already, and no status is given, nothing is done.
        status: that it has from now on; None: that which it has.
        progress: numbers, as Girder's `updateJob` takes them.
    """
    job = Job().load(job_id, force=True)
    if job is None or job["status"] in ENDS:
        return
    if status is not None or (job["progress"] or {}).get("message") != message:
        Job().updateJob(job, status=status, progressMessage=message, **progress)


def find_reason(job: Document) -> str:
    """Return the sentence by which a task says why its job has failed; "": it says nothing."""
    return job.get(REASON_KEY) or _sentence(job)


def _sentence(job: Document) -> str:
    whole = Job().load(job["_id"], force=True, includeLog=True)
    found = SENTENCE.findall("".join((whole or {}).get("log") or ()))
    return found[-1].strip()[:MOST_LETTERS] if found else ""


def task_of(job: Document) -> str:
    """Return the task of our images that slicer_cli_web started a job for; "": it is another."""
    image, _, task = str(job.get("type", "")).partition("#")
    return task if image in Setting().get(SettingKey.IMAGES) else ""
