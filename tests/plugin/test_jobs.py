"""A failed job says why in one sentence, where its progress is shown."""

import pytest

pytest.importorskip("girder")

from girder.models.setting import Setting
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job

from girder_deeplab.jobs import REASON_KEY
from girder_deeplab.settings import DEFAULT_IMAGE

pytestmark = pytest.mark.plugin("deeplab")
OURS = f"{DEFAULT_IMAGE}#SegmentWSI"
SENTENCE = "a.svs: has 2 um per pixel, too coarse for a model of 0.5"
TRACEBACK = "Traceback (most recent call last):\n  File ...\nRuntimeError: exit code 2\n"


@pytest.fixture(autouse=True)
def address(server):
    """girder_worker, which follows every job, asks the server for its own address."""
    Setting().set("worker.api_url", "http://girder:8080/api/v1")


def ended(user, kind, *log, status=JobStatus.ERROR, progress="segment: 3 of 9"):
    """A job as it is after it ran, told of as a worker does."""
    job = Job().createJob("Segment a slide", kind, user=user)
    Job().updateJob(job, status=JobStatus.QUEUED)
    Job().updateJob(job, status=JobStatus.RUNNING)
    for text in log:
        Job().updateJob(job, log=text)
    if progress:
        Job().updateJob(job, progressMessage=progress, progressCurrent=3, progressTotal=9)
    Job().updateJob(job, log=TRACEBACK, status=status)
    return Job().load(job["_id"], force=True)


@pytest.mark.parametrize("progress", ["segment: 3 of 9", None])
def test_a_failed_job_says_why(server, admin, progress):
    said = f"INFO: a line\nerror: an earlier one\nerror: {SENTENCE}\nmore\n"
    job = ended(admin, OURS, said[:50], said[50:], progress=progress)
    assert job["progress"]["message"] == job[REASON_KEY] == SENTENCE
    assert job["status"] == JobStatus.ERROR


@pytest.mark.parametrize(
    ("kind", "log", "status"),
    [
        (OURS, f"error: {SENTENCE}\n", JobStatus.SUCCESS),
        (OURS, f"error: {SENTENCE}\n", JobStatus.CANCELED),
        (OURS, "no such line: error: nothing\n", JobStatus.ERROR),
        ("other/image:latest#SegmentWSI", f"error: {SENTENCE}\n", JobStatus.ERROR),
        ("slicer_cli_web_job", f"error: {SENTENCE}\n", JobStatus.ERROR),
    ],
)
def test_other_jobs_are_left_alone(server, admin, kind, log, status):
    job = ended(admin, kind, log, status=status)
    assert job["progress"]["message"] == "segment: 3 of 9"
    assert REASON_KEY not in job


def test_a_long_sentence_is_cut(server, admin):
    job = ended(admin, OURS, "error: " + "x" * 5000 + "\n")
    assert job["progress"]["message"] == "x" * 1000
