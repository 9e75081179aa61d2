"""An old model against a new one on held-out slides, carried on by itself to its figures.

Both segment the slides and are evaluated there, which leaves the layers of the errors of both. It
may begin before the new model is there: it then waits for the training that makes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from girder import events
from girder.constants import AccessType, SortDir
from girder.exceptions import GirderBaseException, ValidationException
from girder.models.folder import Folder
from girder.models.item import Item
from girder.models.user import User
from girder_jobs.constants import JobStatus
from girder_jobs.models.job import Job

from girder_deeplab import driver, models
from girder_deeplab.batches import READABLE, Handover, start_batch
from girder_deeplab.cards import SEGMENT, Document
from girder_deeplab.census import folded
from girder_deeplab.corrections import layers_on
from girder_deeplab.evaluations import compare
from girder_deeplab.folder_tasks import EVALUATE, Place, start_on_layers
from girder_deeplab.jobs import ENDS, find_reason, tell_job
from girder_deeplab.marks import made_by
from girder_deeplab.runs import CANCELLED, DONE, ENDED, FAILED, Batch, Run, Watched, in_utc
from girder_deeplab.tasks import Workers

# States, beside those of what has ended: waits for the new model, for its layers, for its figures.
TRAINING, SEGMENTING, EVALUATING = "training", "segmenting", "evaluating"
UNDER_WAY = (TRAINING, SEGMENTING, EVALUATING)
COMPARISON_JOB = "deeplab_comparison"  # type of the job that stands for one
FIGURE = "dice"  # by which models are compared
AT_ONCE = 2  # jobs of each model that may wait or run at the same time
ARRIVES = timedelta(minutes=2)  # in which a model is there after its training
MOST_TOLD = 10  # of a model


class ModelComparison(Watched):
    """A comparison of two models.

    Fields, beside those of what is watched: `folderId` (of the slides), `oldId` and `newId` (items;
    the new one None until it is there), `newName`, `trainingId` (job of the training, or None),
    `outputId` (the folder in which it leaves the model), `batchIds`, `evaluationIds` and `lapses`
    (old and new), `classes` (that are judged), `apiUrl`, `jobId` (the job that stands for it),
    `reason` (why it failed), `comparison` (how they compare, once it has ended).
    """

    def initialize(self) -> None:
        """Name the collection, its indices, and what people see."""
        self.name = "deeplab_comparison"
        keys = ("jobId", "trainingId", "evaluationIds", "oldId", "newId", "folderId")
        self.ensureIndices(["state", *keys])
        own = ("_id", "title", "userId", "state", "created", "reason", "classes", "comparison")
        others = ("folderId", "oldId", "newId", "trainingId", "jobId", "batchIds", "evaluationIds")
        self.exposeFields(level=AccessType.READ, fields=(*own, *others))


def start_comparison(
    folder: Document,
    old: Document,
    user: Document,
    api_url: str,
    *,
    new: Document | None = None,
    training: Document | None = None,
    place: Place | None = None,
) -> Document:
    """Have two models compared on the slides of a folder, and return the comparison.

    Args:
        folder: of the slides, to which the user may write.
        old: item of a model that segments.
        user: who asks.
        api_url: of this server as its users call it.
        new: item of the other model; None: it is not there yet.
        training: the job that makes it then.
        place: where that puts it.

    Raises:
        ValidationException: it would come to nothing, such as without layers that people drew.
    """
    name = models.file_of(new)["name"] if new else f"{place.name}.zip"
    check_comparable(folder, old, user, name, new)
    title = f"Comparison of {name} with {old['name']}"
    job = driver.make_job(title, user, COMPARISON_JOB)
    made = ModelComparison().create(
        user,
        driver.now_utc(),
        like=folder,
        title=title,
        state=SEGMENTING if new else TRAINING,
        folderId=folder["_id"],
        oldId=old["_id"],
        newId=new and new["_id"],
        newName=name,
        trainingId=training and training["_id"],
        outputId=place and place.folder["_id"],
        batchIds=[ObjectId(), ObjectId()],
        evaluationIds=[None, None],
        lapses=0,
        classes=[],
        apiUrl=api_url,
        jobId=job["_id"],
        reason=None,
        comparison=None,
    )
    driver.wake()
    return made


def old_model(folder: Document, user: Document, otherwise: Document | None) -> Document:
    """Return the model that a new one for a folder is compared with: the default there, if any.

    Args:
        folder: of slides.
        user: who must be able to read the model.
        otherwise: what is returned where there is no default.

    Raises:
        ValidationException: there is neither.
    """
    if otherwise is None:
        return models.need_default(folder, SEGMENT, user, "to compare with")
    found = models.default_model(folder, SEGMENT, user)
    return found[0] if found else otherwise


def check_comparable(
    folder: Document, old: Document, user: Document, name: str, new: Document | None = None
) -> None:
    """Raise ValidationException where a comparison on the slides of a folder comes to nothing.

    Args:
        folder: as `start_comparison` takes it.
        old: likewise.
        user: likewise.
        name: of the file of the new model.
        new: as `start_comparison` takes it.
    """
    pair = [each for each in (old, new) if each is not None]
    for each in pair:
        models.check_offered(each)
        if each["meta"][models.MODEL_KEY].get("task") != SEGMENT:
            raise ValidationException(f"{each['name']} does not segment.", "modelId")
    if new is not None and new["_id"] == old["_id"]:
        raise ValidationException(f"{new['name']} cannot be compared with itself.", "modelId")
    if models.file_of(old)["name"] == name:
        raise ValidationException(
            f"Both models are called {name}, so that nobody could tell their errors apart; give the"
            " new one another name."
        )
    find_held_out(folder, pair, user)


def find_held_out(
    folder: Document, pair: list[Document], user: Document
) -> tuple[list[Document], list[str]]:
    """Return the slides of a folder on which models can be held against what people drew.

    Args:
        folder: slides in folders of it are not looked at, as evaluations do not.
        pair: items of the models, of which none has learnt from the slides.
        user: who may read the layers.

    Returns:
        the slides by name, and the names of the classes that all models have and people drew.

    Raises:
        ValidationException: there are none.
    """
    learnt = {each for model in pair for each in models.slides_of(model)}
    names = _common_classes(pair)
    found = Folder().childItems(folder, filters=READABLE, sort=[("lowerName", 1)])
    slides = {each["_id"]: each for each in found}
    drawn: dict[Any, set[str]] = {}
    for layer in layers_on(slides, user):
        name = folded(str(layer["annotation"].get("name")))
        if name in names and not made_by(layer):
            drawn.setdefault(layer["itemId"], set()).add(name)
    held_out = [each for id_, each in slides.items() if id_ in drawn and str(id_) not in learnt]
    if not held_out:
        which = " or ".join(names.values()) or "a class that both models have"
        what = (
            f"the models have learnt from every slide on which {which} is drawn"
            if drawn
            else f"no slide has a layer of {which} that a person drew or marked as corrected"
        )
        raise ValidationException(
            f"Models cannot be compared in the folder {folder['name']}: {what}.", "folderId"
        )
    on_these = set().union(*(drawn[each["_id"]] for each in held_out))
    return held_out, [name for short, name in names.items() if short in on_these]


def _common_classes(pair: list[Document]) -> dict[str, str]:
    """Return the classes that all models have, by what is compared of their names."""
    first, *others = ({folded(name): name for name in models.classes_of(each)} for each in pair)
    return {short: name for short, name in first.items() if all(short in each for each in others)}


def on_job(event: events.Event) -> None:
    """Look at once where a job ended for which a comparison waits, or that stands for one."""
    job = event.info["job"]
    if job.get("status") not in ENDS:
        return
    if job.get("type") == COMPARISON_JOB:
        mine = job["status"] == JobStatus.CANCELED and _of_job(job, "jobId")
        if mine:
            _cancel(mine)
    elif _of_job(job, "trainingId", "evaluationIds"):
        driver.wake()


def _of_job(job: Document, *roles: str) -> Document | None:
    of_it = {"$or": [{role: job["_id"]} for role in roles]}
    return ModelComparison().findOne({**of_it, "state": {"$in": list(UNDER_WAY)}})


def _cancel(mine: Document) -> None:
    """Stop what a comparison has begun; the training of its new model goes on."""
    if not ModelComparison().move(mine, *UNDER_WAY, to=CANCELLED):
        return
    for each in _batches(mine):
        if each is not None:
            driver.cancel(each)
    for each in _evaluations(mine):
        driver.stop(each)


def advance(now: datetime, workers: Workers) -> None:
    """Look once at all comparisons that are under way, and do what is due."""
    driver.carry_on(
        ModelComparison(), UNDER_WAY, lambda mine: _advance_one(mine, now, workers), now
    )


def _advance_one(mine: Document, now: datetime, workers: Workers) -> None:
    try:
        user = User().load(mine["userId"], force=True)
        if user is None:
            raise ValidationException("The user whose comparison it is does not exist any more.")
        if mine["state"] == TRAINING:
            _await_model(mine, now)
        elif mine["state"] == SEGMENTING:
            _await_layers(mine, user)
        else:
            _await_figures(mine, user, now, workers)
    except GirderBaseException as error:
        if ModelComparison().move(mine, *UNDER_WAY, to=FAILED, reason=str(error)):
            tell_job(mine["jobId"], str(error), JobStatus.ERROR)


def _await_model(mine: Document, now: datetime) -> None:
    job = Job().load(mine["trainingId"], force=True)
    if job is None:
        raise ValidationException("The job of the training is not there any more.")
    if job["status"] == JobStatus.CANCELED:
        raise ValidationException("The training was cancelled.")
    if job["status"] == JobStatus.ERROR:
        reason = find_reason(job)
        raise ValidationException(f"The training failed{f': {reason}' if reason else '.'}")
    if job["status"] != JobStatus.SUCCESS:
        tell_job(mine["jobId"], "waits for the training")
        return
    new = _model_from(job, mine)
    if new is not None:
        ModelComparison().move(mine, TRAINING, to=SEGMENTING, newId=new["_id"])
        driver.wake()
    elif in_utc(job["updated"]) < now - ARRIVES:
        raise ValidationException(f"The training has left no {mine['newName']}.")


def _model_from(job: Document, mine: Document) -> Document | None:
    """Return the item of the model that a training has put into its folder; None: not yet."""
    since = {"folderId": mine["outputId"], "created": {"$gte": job["created"]}}
    for item in Item().find(since, sort=[("created", SortDir.DESCENDING)]):
        if models.is_model(item) and models.file_of(item)["name"] == mine["newName"]:
            return item
    return None


def _await_layers(mine: Document, user: Document) -> None:
    folder, pair = _parts(mine, user)
    batches = _batches(mine)
    if None in batches:
        slides, classes = find_held_out(folder, pair, user)
        ModelComparison().move(mine, SEGMENTING, to=SEGMENTING, classes=classes)
        for model, id_, there in zip(pair, mine["batchIds"], batches):
            if there is None:
                by = Handover(AT_ONCE, mine["apiUrl"], id_)
                start_batch(SEGMENT, slides, model, {}, user, by)
        tell_job(mine["jobId"], f"segmenting: 0 of {len(pair) * len(slides)}")
        return
    for each in batches:
        if each["state"] == CANCELLED:
            raise ValidationException(f"{each['title']} was stopped.")
    counts = [Run().counts(each) for each in batches]
    if any(each["state"] != ENDED for each in batches):
        ended = sum(each[DONE] + each[FAILED] for each in counts)
        tell_job(
            mine["jobId"], f"segmenting: {ended} of {sum(sum(each.values()) for each in counts)}"
        )
        return
    for model, batch, count in zip(pair, batches, counts):
        if not count[DONE]:
            run = Run().findOne({"batchId": batch["_id"], "state": FAILED}) or {}
            raise ValidationException(
                f"{model['name']} could segment none of the slides: {run.get('reason')}"
            )
    if ModelComparison().move(mine, SEGMENTING, to=EVALUATING):
        driver.wake()


def _await_figures(mine: Document, user: Document, now: datetime, workers: Workers) -> None:
    folder, pair = _parts(mine, user)
    jobs = _evaluations(mine)
    for place, (model, job) in enumerate(zip(pair, jobs)):
        if job is not None and job["status"] == JobStatus.CANCELED:
            raise ValidationException(f"The evaluation of {model['name']} was cancelled.")
        if job is not None and job["status"] == JobStatus.ERROR and find_reason(job):
            raise ValidationException(
                f"The evaluation of {model['name']} failed: {find_reason(job)}"
            )
        if job is None or _has_vanished(job, now, workers):
            _evaluate(mine, place, model, folder, user)
    if all(job is not None and job["status"] == JobStatus.SUCCESS for job in jobs):
        _finish(mine, pair, user)
    else:
        tell_job(mine["jobId"], "evaluating")


def _has_vanished(job: Document, now: datetime, workers: Workers) -> bool:
    """Return whether a job ended without a word of the task, or no worker has it any more."""
    return job["status"] == JobStatus.ERROR or (
        job["status"] not in ENDS and driver.is_lost(job, now, workers)
    )


def _evaluate(
    mine: Document, place: int, model: Document, folder: Document, user: Document
) -> None:
    """Start an evaluation, unless it was lost too often."""
    lapses = mine["lapses"] + (mine["evaluationIds"][place] is not None)
    if lapses > driver.MOST_LAPSES:
        raise ValidationException(f"The worker that evaluated {model['name']} was lost.")
    name = f"{model['name'].removesuffix('.zip')} evaluated"
    job = start_on_layers(
        EVALUATE,
        folder,
        {"classes": mine["classes"]},
        model,
        Place(folder, name),
        user,
        mine["apiUrl"],
    )
    ids = [*mine["evaluationIds"]]
    ids[place] = job["_id"]
    mine.update(evaluationIds=ids, lapses=lapses)
    ModelComparison().move(mine, EVALUATING, to=EVALUATING, evaluationIds=ids, lapses=lapses)


def _finish(mine: Document, pair: list[Document], user: Document) -> None:
    found = compare(*pair, FIGURE, user)
    if found.whole is None:
        raise ValidationException("The evaluations of the two models have no slide in common.")
    if ModelComparison().move(mine, EVALUATING, to=ENDED, comparison=found.told()):
        tell_job(mine["jobId"], found.summary(), JobStatus.SUCCESS)


def _parts(mine: Document, user: Document) -> tuple[Document, list[Document]]:
    """Return the folder and the two models, as far as the user may use them still."""
    folder = Folder().load(mine["folderId"], user=user, level=AccessType.WRITE)
    if folder is None:
        raise ValidationException("The folder of the slides is not there any more.")
    pair = [Item().load(mine[key], user=user, level=AccessType.READ) for key in ("oldId", "newId")]
    if None in pair:
        raise ValidationException("One of the models is not there any more.")
    return folder, pair


def _batches(mine: Document) -> list[Document | None]:
    return [Batch().load(each, force=True) for each in mine["batchIds"]]


def _evaluations(mine: Document) -> list[Document | None]:
    return [each and Job().load(each, force=True) for each in mine["evaluationIds"]]


def comparison_told(mine: Document, user: Document | None) -> Document:
    """Return what people see of a comparison."""
    return ModelComparison().filter(mine, user)


def comparisons_with(model: Document, user: Document | None) -> list[Document]:
    """Return what a user may see of the newest comparisons of a model with others."""
    of_it = {"$or": [{"oldId": model["_id"]}, {"newId": model["_id"]}]}
    newest = [("created", SortDir.DESCENDING), ("_id", SortDir.DESCENDING)]
    return list(comparisons_of(user, of_it, limit=MOST_TOLD, offset=0, sort=newest))


def comparisons_of(
    user: Document | None, query: Document, *, limit: int, offset: int, sort: list
) -> Iterator[Document]:
    """Yield the comparisons of a query that a user may see."""
    found = ModelComparison().findWithPermissions(
        query, user=user, level=AccessType.READ, limit=limit, offset=offset, sort=sort
    )
    return (comparison_told(each, user) for each in found)
