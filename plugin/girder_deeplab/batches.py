"""What people ask of batches: which slides, with which model, and how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bson import ObjectId
from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder.models.item import Item

from girder_deeplab import driver, models
from girder_deeplab.cards import Document
from girder_deeplab.runs import Batch, Run
from girder_deeplab.tasks import find_task, read_options

MOST_SLIDES = 100_000
MOST_AT_ONCE = 64
READABLE = {"largeImage.fileId": {"$exists": True}}
TOLD = ("_id", "itemId", "name", "state", "jobId", "layers", "reason")


@dataclass(frozen=True)
class Handover:
    """How the jobs of a batch are handed to the workers.

    Attributes:
        at_once: jobs of it that may wait or run at the same time.
        api_url: of this server as its users call it.
        batch_id: of the batch, of which there is none yet.
    """

    at_once: int
    api_url: str
    batch_id: ObjectId = field(default_factory=ObjectId)


def start_batch(
    task_name: str,
    slides: Iterable[Document],
    model: Document | None,
    options: Mapping[str, Any],
    user: Document,
    by: Handover,
) -> Document:
    """Have a task run on slides, and return the batch.

    Args:
        task_name: of one that uses a model.
        slides: items, to which the user may write.
        model: item of the model; None: for each slide the default of its folder.
        options: of the task, by the names in its form.
        user: whose batch it is.
        by: how its jobs are handed over.

    Raises:
        ValidationException: something of this cannot be; nothing is started then.
    """
    task = find_task(task_name, user)
    params = read_options(task, options)
    now = driver.now_utc()
    find_model = _ModelOf(task_name, model, user)
    # Of this id, if a server process ended before it had made all of it.
    Run().collection.delete_many({"batchId": by.batch_id})
    runs = []
    for slide in slides:
        if len(runs) == MOST_SLIDES:
            raise ValidationException(f"A batch has at most {MOST_SLIDES} slides.")
        known = {"batchId": by.batch_id, "modelId": find_model(slide)}
        runs.append(Run().describe(slide, user, now, **known))
    if not runs:
        raise ValidationException("There is no slide that you may write to.")
    if "region" in params and len(runs) > 1:
        raise ValidationException("A region is of one slide, but there are several.", "region")
    # Before the batch is there, so that nobody takes one half written for a short one.
    Run().collection.insert_many(runs)
    what = runs[0]["name"] if len(runs) == 1 else f"{len(runs)} slides"
    title = f"{task_name} on {what}"
    job = driver.make_job(title, user, driver.BATCH_JOB)
    batch = Batch().create(
        user,
        now,
        title=title,
        task=task_name,
        cliId=task._id,  # noqa: SLF001  slicer_cli_web has no other name for it
        params=params,
        apiUrl=by.api_url,
        atOnce=by.at_once,
        jobId=job["_id"],
        _id=by.batch_id,
    )
    driver.wake()
    return batch


class _ModelOf:
    """Finds the file of the model of a slide, the same for all of a folder."""

    def __init__(self, task: str, model: Document | None, user: Document) -> None:
        self._task, self._user = task, user
        self._chosen = None if model is None else self._file(model)
        self._defaults: dict[object, object] = {}

    def __call__(self, slide: Document) -> object:
        if self._chosen is not None:
            return self._chosen
        folder_id = slide["folderId"]
        if folder_id not in self._defaults:
            folder = Folder().load(folder_id, force=True)
            found = models.need_default(folder, self._task, self._user)
            self._defaults[folder_id] = self._file(found)
        return self._defaults[folder_id]

    def _file(self, model: Document) -> object:
        file = models.file_of(model)
        task = model["meta"][models.MODEL_KEY]["task"]
        if task != self._task:
            raise ValidationException(f"{model['name']} is a model for {task}.")
        return file["_id"]


def slides_of_ids(ids: object, user: Document) -> list[Document]:
    """Return the items of these ids, to which the user may write, each once.

    Raises:
        ValidationException: they are no list of ids, or one is not there.
        AccessException: the user may not write to one.
    """
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise ValidationException("itemIds must be a list of ids.", "itemIds")
    found = []
    for each in dict.fromkeys(ids):
        item = Item().load(each, user=user, level=AccessType.WRITE)
        if item is None:
            raise ValidationException(f"There is no item {each}.", "itemIds")
        found.append(item)
    return found


def slides_in(folder: Document, user: Document, *, recursive: bool) -> Iterator[Document]:
    """Yield the slides in a folder to which the user may write, by name.

    Args:
        folder: that the user may read.
        user: who asks.
        recursive: whether those in the folders of it come, too.
    """
    if Folder().hasAccess(folder, user, AccessType.WRITE):
        yield from Folder().childItems(folder, filters=READABLE, sort=[("lowerName", 1)])
    if recursive:
        for within in Folder().childFolders(folder, "folder", user=user, sort=[("lowerName", 1)]):
            yield from slides_in(within, user, recursive=True)


def batch_told(batch: Document, user: Document | None) -> Document:
    """Return what people see of a batch, with `counts` of its slides in each state."""
    return {**Batch().filter(batch, user), "counts": Run().counts(batch)}


def find_batches(user: Document, *, limit: int, offset: int, sort: list) -> Iterator[Document]:
    """Yield the batches that a user may see."""
    found = Batch().findWithPermissions(
        {}, user=user, level=AccessType.READ, limit=limit, offset=offset, sort=sort
    )
    return (batch_told(each, user) for each in found)


def runs_of(
    batch: Document, state: str | None, *, limit: int, offset: int, sort: list
) -> list[Document]:
    """Return what became of each slide of a batch, those of one state if one is given."""
    query = {"batchId": batch["_id"], **({"state": state} if state else {})}
    found = Run().find(query, limit=limit, offset=offset, sort=sort, fields=list(TOLD))
    return list(found)
