"""Carries batches on: hands runs to the workers, and sees to it that each has one end.

All that is known is in the database, so any server process may go on where another stopped. A
thread in each looks every few seconds, and at once where something ended.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

from girder import events
from girder.constants import AccessType
from girder.exceptions import GirderBaseException, ValidationException
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.setting import Setting
from girder.models.user import User
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job
from kombu.exceptions import KombuError
from slicer_cli_web.models import CLIItem

from girder_deeplab.cards import Document
from girder_deeplab.jobs import ENDS, find_reason, task_of, tell_job
from girder_deeplab.models import MODEL_KEY, TASKS, find_item, is_model
from girder_deeplab.palette import write_palette
from girder_deeplab.results import (
    ResultSet,
    keep_results,
    keep_results_since,
    link_layers,
    remove_results,
    result_id_of,
    tell_slide,
)
from girder_deeplab.runs import (
    ACTIVE,
    CANCELLED,
    CANCELLING,
    DONE,
    ENDED,
    FAILED,
    IN_FLIGHT,
    LOCK,
    RUNNING,
    WAITING,
    Batch,
    Run,
    Watched,
    in_utc,
)
from girder_deeplab.settings import SettingKey
from girder_deeplab.tasks import Workers

# A child of Girder's own logger: on Girder 3 that is the one with handlers.
logger = logging.getLogger("girder.deeplab")

BATCH_JOB = "deeplab_batch"  # type of the job that stands for a batch
EVERY_S = 10.0
MOST_LAPSES = 2  # after which a run is tried again
AGAIN_AFTER = timedelta(seconds=30)  # where the workers' broker does not answer
STALE = timedelta(days=2)  # for a job that waits, where nobody can say whether it is in the queue
NOT_BEGUN = (JobStatus.INACTIVE, JobStatus.QUEUED)
CANCELING = 824  # girder_worker's: told to stop, and not yet stopped

Look = Callable[[datetime, Workers], None]  # at all of a kind that is under way, doing what is due

_woken = threading.Event()


def now_utc() -> datetime:
    """Return the time as the database does."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def start(*looks: Look) -> None:
    """Start the thread that carries things on as long as the server runs, one look after another.

    Args:
        looks: such as `advance`.
    """
    threading.Thread(target=_go_on, args=(looks,), name="deeplab-driver", daemon=True).start()


def wake() -> None:
    """Let the thread look at once."""
    _woken.set()


def _go_on(looks: tuple[Look, ...]) -> None:
    while True:
        _woken.wait(EVERY_S)
        _woken.clear()
        for each in looks:
            _try(each)


def _try(look: Look) -> None:
    try:
        look(now_utc(), Workers())
    except Exception:
        # Whatever it was: the next look is in a few seconds, and starts from the database.
        logger.exception("Not all that is under way could be carried on.")


def on_job(event: events.Event) -> None:
    """Look at once where a job ended that belongs to a run or stands for a batch."""
    job = event.info["job"]
    if job.get("status") not in ENDS:
        return
    if job.get("type") == BATCH_JOB:
        batch = job["status"] == JobStatus.CANCELED and Batch().findOne({"jobId": job["_id"]})
        if batch:
            cancel(batch)
    elif Run().findOne({"jobId": job["_id"]}, fields=["_id"]):
        wake()
    elif job["status"] == JobStatus.SUCCESS and task_of(job) in TASKS:
        _note_single(job)


def _note_single(job: Document) -> None:
    """Have the layers looked at of a job that somebody started in the form of its task."""
    asked = job.get("_original_params", {})
    if asked.get("result_id"):
        return  # of a batch, whose server process ended before it had said so
    item = find_item(asked.get("inputImageFile"))
    user = User().load(job["userId"], force=True) if job.get("userId") else None
    if item is not None and user is not None:
        now = now_utc()
        known = {"jobId": job["_id"], "modelId": asked.get("inputModelFile")}
        Run().save(Run().describe(item, user, now, batchId=None, state=RUNNING, **known))
        wake()


def on_layer(event: events.Event) -> None:
    """Note that a layer has come of a run that had its end: its job was delivered twice."""
    result_id = result_id_of(event.info)
    if result_id:
        ended = {"resultId": result_id, "state": {"$not": {"$in": list(IN_FLIGHT)}}}
        if Run().update(ended, {"$set": {"late": True}}, multi=False).matched_count:
            wake()


def cancel(batch: Document) -> None:
    """Start no more runs of a batch and stop those that run."""
    if Batch().move(batch, ACTIVE, to=CANCELLING):
        wake()


def resume(batch: Document, user: Document, *, failed: bool) -> Document:
    """Go on with a batch that was cancelled or has ended, and return it.

    Args:
        batch: to go on with.
        user: who asks, to whom its new job belongs.
        failed: whether what has failed is tried again, too.

    Raises:
        ValidationException: it still runs, or nothing is left to do.
    """
    if batch["state"] not in (CANCELLED, ENDED):
        raise ValidationException("The batch still runs.")
    now = now_utc()
    if failed:
        again = {"state": WAITING, "changed": now, "notBefore": now, "reason": None, "lapses": 0}
        Run().update({"batchId": batch["_id"], "state": FAILED}, {"$set": again})
    if not Run().findOne({"batchId": batch["_id"], "state": WAITING}):
        raise ValidationException("Nothing of the batch is left to run.")
    job = make_job(batch["title"], user, BATCH_JOB)
    if not Batch().move(batch, CANCELLED, ENDED, to=ACTIVE, jobId=job["_id"], began=now):
        Job().remove(job)  # somebody else was faster
    wake()
    return Batch().load(batch["_id"], force=True)


def make_job(title: str, user: Document, kind: str) -> Document:
    """Return the job that stands for something watched, such as a batch, among those of a user."""
    job = Job().createJob(title, kind, user=user, handler="deeplab")
    return Job().updateJob(job, status=JobStatus.RUNNING)


def advance(now: datetime, workers: Workers) -> None:
    """Look once at all batches and runs that are under way, and do what is due."""
    carry_on(Batch(), (ACTIVE, CANCELLING), lambda mine: _advance_batch(mine, now, workers), now)
    for run in Run().find({"batchId": None, "state": RUNNING}):
        _finish_single(run, now)
    for run in Run().find({"late": True}):
        _tidy(run)


def carry_on(
    kind: Watched, states: Sequence[str], work: Callable[[Document], None], now: datetime
) -> None:
    """Do what is due with all of a kind that are in some states and that nobody else looks after.

    Args:
        kind: the model of such.
        states: in which something may be due.
        work: is given each, locked.
        now: the time.
    """
    for each in kind.find({"state": {"$in": list(states)}}, fields=["_id"]):
        mine = kind.lock(each["_id"], now)
        if mine is None:
            continue
        try:
            work(mine)
        except Exception:
            # Such as a broker that is away just now; others must not wait for it.
            logger.exception("%s could not be carried on.", mine["title"])
        finally:
            kind.unlock(mine, now)


def _finish_single(run: Document, now: datetime) -> None:
    """Do with the layers of a job from the form of its task as with those of a batch."""
    user = User().load(run["userId"], force=True)
    job = Job().load(run["jobId"], force=True)
    kept = None
    if user is not None and job is not None and not _is_beside_another(job):
        began = [each["time"] for each in job["timestamps"] if each["status"] == JobStatus.RUNNING]
        kept = keep_results_since(
            run["itemId"],
            task_of(job),
            min(began, default=job["created"]),
            user,
            Run().unfinished_results(run["itemId"]),
        )
    _end(run, kept, now)


def _is_beside_another(job: Document) -> bool:
    """Return whether another job of the same slide runs, so that layers may be of either."""
    params = {"_original_params.inputImageFile": job["_original_params"]["inputImageFile"]}
    others = {**params, "_id": {"$ne": job["_id"]}, "type": job["type"]}
    return Job().findOne({**others, "status": JobStatus.RUNNING}, fields=["_id"]) is not None


def _advance_batch(batch: Document, now: datetime, workers: Workers) -> None:
    for run in Run().find({"batchId": batch["_id"], "state": {"$in": list(IN_FLIGHT)}}):
        if run["state"] == RUNNING:
            _look_after(run, batch, now, workers)
        elif in_utc(run["changed"]) <= now - LOCK or batch["state"] == CANCELLING:
            _find_again(run, now)
    is_cancelling = batch["state"] == CANCELLING
    if not is_cancelling:
        _fill(batch, now, workers)
    counts = Run().counts(batch)
    in_flight = sum(counts[each] for each in IN_FLIGHT)
    has_ended = not in_flight and (is_cancelling or not counts[WAITING])
    if has_ended:
        Batch().move(batch, batch["state"], to=CANCELLED if is_cancelling else ENDED)
    _report(batch, counts, now, has_ended=has_ended)


def _fill(batch: Document, now: datetime, workers: Workers) -> None:
    """Hand over runs until as many as may be are with the workers."""
    user = User().load(batch["userId"], force=True)
    counts = Run().counts(batch)
    for _ in range(batch["atOnce"] - sum(counts[each] for each in IN_FLIGHT)):
        run = Run().take(batch, now) if Batch().keep_lock(batch, now) else None
        if run is None:
            return
        if not _hand_over(run, batch, user, now, workers):
            return


def _hand_over(
    run: Document, batch: Document, user: Document | None, now: datetime, workers: Workers
) -> bool:
    """Give a run that is `starting` to the workers; False: none can be given now."""
    try:
        task, params = _asked(run, batch, user)
        job = workers.submit(task, params, user, batch["apiUrl"])
    except GirderBaseException as error:
        _fail(run, str(error), now)
        return True
    except (OSError, KombuError) as error:
        logger.warning("The broker does not answer, it is asked again soon: %s", error)
        _forget_jobs(run)
        Run().move(run, to=WAITING, now=now, notBefore=now + AGAIN_AFTER)
        return False
    except Exception as error:
        # A fault in what makes jobs of tasks: of this slide, others must go on.
        logger.exception("%s was not given to the workers.", run["name"])
        _forget_jobs(run)
        _fail(run, f"Its job could not be made: {error}", now)
        return True
    Run().move(run, to=RUNNING, now=now, jobId=job["_id"])
    return True


def _asked(run: Document, batch: Document, user: Document | None) -> tuple[CLIItem, Document]:
    """Return the task and its parameters for the slide of a run.

    Raises:
        ValidationException: the slide, the task or the user is not there any more, or the user may
            not do it any more.
    """
    if user is None:
        raise ValidationException("The user whose batch it is does not exist any more.")
    slide = Item().load(run["itemId"], force=True)
    if slide is None:
        raise ValidationException("The slide is not there any more.")
    if not Item().hasAccess(slide, user, AccessType.WRITE):
        raise ValidationException("The slide may not be written to any more.")
    task = CLIItem.find(batch["cliId"], user)
    if task is None:
        raise ValidationException(f"The task {batch['task']} is not registered any more.")
    file_id = slide.get("largeImage", {}).get("fileId")
    if not file_id:
        raise ValidationException("The slide is no image that the server can read.")
    return task, {
        **batch["params"],
        "inputImageFile": str(file_id),
        "inputModelFile": str(run["modelId"]),
        "result_id": run["resultId"],
    }


def _look_after(run: Document, batch: Document, now: datetime, workers: Workers) -> None:
    """Bring what became of a run's job into the run."""
    user = User().load(run["userId"], force=True)
    job = Job().load(run["jobId"], force=True)
    is_cancelling = batch["state"] == CANCELLING
    if is_cancelling:
        job = stop(job)
    status = job["status"] if job else None
    if status == JobStatus.SUCCESS:
        _finish(run, user, now)
    elif status == JobStatus.ERROR and (reason := find_reason(job)):
        _clear(run, user)
        _fail(run, reason, now)
    elif status == JobStatus.CANCELED and not is_cancelling:
        _clear(run, user)
        _fail(run, "Its job was cancelled.", now)
    elif is_cancelling and (status in ENDS or is_lost(job, now, workers)):
        stop(job, at_once=True)
        _clear(run, user)
        Run().move(run, to=WAITING, now=now, jobId=None)
    elif status == JobStatus.ERROR:  # not by the task: such as of a worker whose broker went away
        _start_anew(run, job, user, now, why="It failed without a word of the task")
    elif is_lost(job, now, workers):
        _start_anew(run, job, user, now, why="The worker that had it was lost")


def _finish(run: Document, user: Document | None, now: datetime) -> None:
    """Keep one set of layers of what succeeded, and let job and layers know of each other."""
    _end(run, _kept(run, user), now)


def _end(run: Document, kept: ResultSet | None, now: datetime) -> None:
    layers = kept.ids if kept else []
    word = kept.run if kept else ""
    if Run().move(run, to=DONE, now=now, reason=None, kept=word, layers=layers):
        link = {"deeplabLayers": layers}
        Job().update({"_id": run["jobId"]}, {"$set": link}, multi=False)
        link_layers(layers, run["jobId"])
        if kept:
            _tell_slide(run, kept)
            _offer_groups(run)


def _tell_slide(run: Document, kept: ResultSet) -> None:
    user = User().load(run["userId"], force=True)
    slide = Item().load(run["itemId"], force=True)
    if user is None or slide is None:
        return
    try:
        tell_slide(slide, kept, user)
    except Exception:
        # The layers are there, which is what the job was for.
        logger.exception("%s does not say what was found on it.", slide["name"])


def _offer_groups(run: Document) -> None:
    """Let people correct a result in groups of its classes and colours."""
    user = User().load(run["userId"], force=True)
    model = find_item(run.get("modelId"))
    slide = Item().load(run["itemId"], force=True)
    if user is None or model is None or slide is None or not is_model(model):
        return
    folder = Folder().load(slide["folderId"], force=True)
    try:
        write_palette(folder, model["meta"][MODEL_KEY].get("classes") or [], user)
    except Exception:
        # The result is there; what is amiss with files of the folder is another matter.
        logger.exception("The folder %s was not given groups to draw in.", folder["name"])


def _kept(run: Document, user: Document | None) -> ResultSet | None:
    if user is None:
        return None
    others = [each for each in Run().unfinished_results(run["itemId"]) if each != run["resultId"]]
    return keep_results(run["itemId"], run["resultId"], user, kept=run["kept"], unfinished=others)


def _clear(run: Document, user: Document | None) -> None:
    if user is not None:
        remove_results(run["itemId"], run["resultId"], user)


def _start_anew(
    run: Document, job: Document | None, user: Document | None, now: datetime, *, why: str
) -> None:
    """Have a run made again that ended by no fault of its own, unless that was so too often."""
    has_begun = job is None or job["status"] not in NOT_BEGUN
    lapses = run["lapses"] + has_begun
    stop(job, at_once=True)
    if lapses > MOST_LAPSES:
        _clear(run, user)
        _fail(run, f"{why}; it was run {lapses} times. The log of its job says more.", now)
    else:
        Run().move(run, to=WAITING, now=now, jobId=None, lapses=lapses)


def is_lost(job: Document | None, now: datetime, workers: Workers) -> bool:
    """Return whether no worker has a job any more, or will have it."""
    if job is None:
        return True
    if not _is_silent(job, now):
        return False
    return job["status"] not in NOT_BEGUN or workers.has(job) is False or _is_stale(job, now)


def _is_silent(job: Document, now: datetime) -> bool:
    """Return whether a job has told nothing for longer than one that is worked on does."""
    return _silence(job, now) > timedelta(minutes=Setting().get(SettingKey.LEASE_MINUTES))


def _is_stale(job: Document, now: datetime) -> bool:
    return _silence(job, now) > STALE


def _silence(job: Document, now: datetime) -> timedelta:
    return now - in_utc(job["updated"])


def stop(job: Document | None, *, at_once: bool = False) -> Document | None:
    """Cancel a job, and return it as it is then.

    Args:
        job: to be cancelled.
        at_once: its worker is lost, and will not say that it has stopped.
    """
    if job is None or job["status"] in ENDS:
        return job
    if job["status"] != CANCELING:
        Job().cancelJob(job)
        job = Job().load(job["_id"], force=True)
    if at_once and job["status"] not in ENDS:
        job = Job().updateJob(job, status=JobStatus.CANCELED)
    return job


def _find_again(run: Document, now: datetime) -> None:
    """Go on with a run whose server process ended between making its job and saying so."""
    for job in _jobs_of(run):
        if "_original_params" in job:  # which slicer_cli_web adds after the workers have it
            Run().move(run, to=RUNNING, now=now, jobId=job["_id"])
            return
    _forget_jobs(run)
    Run().move(run, to=WAITING, now=now)


def _forget_jobs(run: Document) -> None:
    for job in _jobs_of(run):
        stop(job, at_once=True)


def _jobs_of(run: Document) -> list[Document]:
    """Return the jobs that were made of a run since it is `starting` and have not failed."""
    query = {
        "created": {"$gte": in_utc(run["changed"]) - LOCK},
        "kwargs": {"$regex": re.escape(run["resultId"])},
        "status": {"$not": {"$in": [JobStatus.ERROR, JobStatus.CANCELED]}},
    }
    return list(Job().find(query))


def _fail(run: Document, reason: str, now: datetime) -> None:
    Run().move(run, to=FAILED, now=now, reason=reason)


def _tidy(run: Document) -> None:
    """Do with layers that came late as with those that came in time."""
    user = User().load(run["userId"], force=True)
    Run().update({"_id": run["_id"]}, {"$unset": {"late": ""}}, multi=False)
    if run["state"] == DONE:
        _kept(run, user)
    elif run["state"] == FAILED or (run["state"] == WAITING and not _is_active(run)):
        _clear(run, user)


def _is_active(run: Document) -> bool:
    return Batch().findOne({"_id": run["batchId"], "state": ACTIVE}, fields=["_id"]) is not None


def _report(batch: Document, counts: dict[str, int], now: datetime, *, has_ended: bool) -> None:
    """Say in the job of a batch how far it is, and that it has ended if it has."""
    total, done, failed = sum(counts.values()), counts[DONE], counts[FAILED]
    status = None
    message = f"{done} of {total} slides"
    if failed:
        message += f", {failed} failed"
    if not has_ended:
        message += _time_left(batch, counts, now)
    elif batch["state"] == CANCELLING:
        status = JobStatus.CANCELED
    else:
        status = JobStatus.ERROR if failed else JobStatus.SUCCESS
    numbers = {"progressCurrent": done + failed, "progressTotal": total}
    tell_job(batch["jobId"], message, status, **numbers)


def _time_left(batch: Document, counts: dict[str, int], now: datetime) -> str:
    """Return how long it takes still at the pace of what has ended since it began."""
    ended = {"batchId": batch["_id"], "state": {"$in": [DONE, FAILED]}}
    since = Run().collection.count_documents({**ended, "changed": {"$gte": batch["began"]}})
    if not since:
        return ""
    left = sum(counts[each] for each in (WAITING, *IN_FLIGHT))
    minutes = (now - in_utc(batch["began"])).total_seconds() / 60 / since * left
    if minutes < 1:
        return ", less than a minute left"
    if minutes < 100:
        return f", some {minutes:.0f} min left"
    return f", some {minutes / 60:.0f} h left"
