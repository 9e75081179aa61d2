"""Tokens of the jobs that this plugin starts: what each may do, how a task gets it, and its end."""

from __future__ import annotations

import copy
import re

from girder import events
from girder.constants import TokenScope
from girder.models.token import Token
from girder_jobs.models.job import Job
from slicer_cli_web.models import CLIItem

from girder_deeplab.cards import Document
from girder_deeplab.jobs import ENDS, task_of

DAYS = 7  # for a job to wait and to run; the token ends with it
SCOPES = (TokenScope.DATA_READ, TokenScope.DATA_WRITE)
JOB_KEY = "deeplabJobId"  # of a token
VARIABLE = "DEEPLAB_GIRDER_TOKEN"  # in the environment of a container
HIDDEN = "[hidden]"
# As girder_worker prints what it starts a container with: arguments and environment.
_IN_LOG = re.compile(rf"((?:--girderToken'|{VARIABLE}'?)\s*[,:=]\s*')[^']+")


def make_index() -> None:
    """Let the token of a job be found among those of all sessions."""
    Token().ensureIndex((JOB_KEY, {"sparse": True}))


def make_token(user: Document) -> Document:
    """Return a token for a job of a user, with which data can be read and written only."""
    return Token().createToken(user=user, days=DAYS, scope=list(SCOPES))


def end_with_job(token: Document, job: Document) -> None:
    """Have a token end when a job does."""
    Token().update({"_id": token["_id"]}, {"$set": {JOB_KEY: job["_id"]}}, multi=False)
    now = Job().load(job["_id"], force=True)
    if now is None or now["status"] in ENDS:  # it was faster
        Token().remove(token)


def end_tokens(event: events.Event) -> None:
    """Take back the token of a job that has ended."""
    job = event.info["job"]
    if job.get("status") in ENDS:
        Token().removeWithQuery({JOB_KEY: job["_id"]})


def hide_tokens(event: events.Event) -> None:
    """Keep tokens out of the log of a job of our tasks, whoever started it."""
    told = event.info["params"]
    log = told.get("log")
    if not isinstance(log, str) or not task_of(event.info["job"]):
        return
    without = _IN_LOG.sub(rf"\g<1>{HIDDEN}", log)
    if without != log:
        event.preventDefault()
        Job().updateJob(event.info["job"], **{**told, "log": without})


def takes_from_environment(task: CLIItem) -> bool:
    """Return whether a task looks for its token in the environment; those of old images do not."""
    return VARIABLE.encode() in task.xml


def with_environment(task: CLIItem, token: object) -> CLIItem:
    """Return a task whose container has a token in its environment, for the job made of it now.

    Args:
        task: as it is registered.
        token: what girder_worker makes the token of when it starts the container.
    """
    item = copy.deepcopy(task.item)
    options = item["meta"].setdefault("docker-params", {})
    options["environment"] = {**options.get("environment", {}), VARIABLE: token}
    return CLIItem(item)
