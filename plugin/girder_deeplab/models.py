"""Models among the items of Girder: registered, archived, and the default of folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from girder import events
from girder.api import access
from girder.api.rest import getCurrentUser
from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.file import File
from girder.models.folder import Folder
from girder.models.item import Item
from girder.utility import path as path_util

from girder_deeplab.cards import (
    CLASSIFY,
    SEGMENT,
    Document,
    NoModelError,
    may_be_model,
    read_facts,
)
from girder_deeplab.uploads import forget, when_uploaded

MODEL_KEY = "deeplabModel"  # of an item's metadata: the facts of its card
ARCHIVED_KEY = "archived"  # among these
DEFAULT_KEY = "deeplabDefaultModels"  # of a folder's metadata: ids of items by task
TASKS = (SEGMENT, CLASSIFY)
# What the model field of a task's form asks slicer_cli_web for: a file of this name.
DEFAULT_NAME = "deeplab-default-of-{}"
DEEPEST = 100  # folders, above which none is looked for


def make_index() -> None:
    """Let the few models among millions of items be found without looking at each."""
    for fact in ("task", "sha256"):
        Item().ensureIndex((f"meta.{MODEL_KEY}.{fact}", {"sparse": True}))


def register(item: Document, *, keep_archived: bool = True) -> Document:
    """Read the card of an item's model into its metadata, and return the item.

    Args:
        item: with the model as its only .zip.
        keep_archived: whether one that was archived stays so.

    Raises:
        ValidationException: it has no file that is a model; the message says why.
    """
    why = "has no file"
    for file in Item().childFiles(item):
        try:
            facts = read_facts(file)
        except NoModelError as error:
            why = f"{file['name']} {error}"
            continue
        facts[ARCHIVED_KEY] = keep_archived and is_archived(item)
        return Item().setMetadata(item, {MODEL_KEY: facts})
    raise ValidationException(f"{item['name']} is no model: {why}.")


def _note(item: Document, _file: Document) -> None:
    """Register the item of a file that has arrived if it is a model, else forget that it was."""
    try:
        register(item, keep_archived=False)  # it is a new model
    except ValidationException:
        forget(item, MODEL_KEY)


register_uploaded = when_uploaded(may_be_model, _note, "a model")


def is_model(item: Document) -> bool:
    """Return whether an item is registered as a model."""
    return isinstance(item.get("meta", {}).get(MODEL_KEY), dict)


def is_archived(item: Document) -> bool:
    """Return whether an item is a model that is no longer offered."""
    return is_model(item) and item["meta"][MODEL_KEY].get(ARCHIVED_KEY) is True


def set_archived(item: Document, *, archived: bool) -> Document:
    """Archive a model, or offer it again; returns the item.

    Raises:
        ValidationException: the item is no model.
    """
    check_model(item)
    return Item().setMetadata(
        item, {MODEL_KEY: {**item["meta"][MODEL_KEY], ARCHIVED_KEY: archived}}
    )


def check_model(item: Document) -> None:
    """Raise ValidationException unless an item is registered as a model."""
    if not is_model(item):
        raise ValidationException(f"{item['name']} is not registered as a model.")


def digest_of(item: Document) -> str:
    """Return the SHA-256 of a model's file, by which layers and evaluations name their model.

    Raises:
        ValidationException: an older version did not note it, and the file cannot be read any more.
    """
    facts = item["meta"][MODEL_KEY]
    if "sha256" not in facts:
        facts = register(item)["meta"][MODEL_KEY]
    return facts["sha256"]


def slides_of(item: Document) -> list[str]:
    """Return the ids of the items that a model is known to have learnt from."""
    return _texts(item, "slides")


def layers_of(item: Document) -> list[str]:
    """Return the ids of the annotations that a model is known to have learnt from itself."""
    return _texts(item, "layers")


def made_of(item: Document) -> list[str]:
    """Return the SHA-256 of the models that a model is known to be made of, the nearest first."""
    return _texts(item, "models")


def _texts(item: Document, fact: str) -> list[str]:
    told = item["meta"][MODEL_KEY].get(fact)
    return [each for each in told if isinstance(each, str)] if isinstance(told, list) else []


def classes_of(item: Document) -> list[str]:
    """Return the names of the classes of a model, in the order of their labels.

    Raises:
        ValidationException: the item is no model, or does not say them.
    """
    check_model(item)
    told = item["meta"][MODEL_KEY].get("classes")
    try:
        return [each["name"] for each in told]
    except (TypeError, KeyError) as error:  # people may change metadata
        raise ValidationException(f"{item['name']} does not say its classes.", "modelId") from error


def find_models(
    user: Document | None,
    folder: Document | None,
    *,
    task: str | None,
    archived: bool,
    limit: int,
    offset: int,
    sort: list,
) -> Iterator[Document]:
    """Yield the models that a user may read as `model_told` tells them.

    Args:
        user: who asks.
        folder: only models in it and in the folders of it; None: of all.
        task: only those that it uses; None: of any.
        archived: whether also those that are archived.
        limit: 0: all.
        offset: so many are passed over.
        sort: as Girder has it.
    """
    query: dict[str, Any] = {f"meta.{MODEL_KEY}.task": task or {"$in": list(TASKS)}}
    if not archived:
        query[f"meta.{MODEL_KEY}.{ARCHIVED_KEY}"] = {"$ne": True}
    if folder is not None:
        query["folderId"] = {"$in": _folders_in(folder)}
    found = Item().findWithPermissions(
        query, user=user, level=AccessType.READ, limit=limit, offset=offset, sort=sort
    )
    return (model_told(item) for item in found)


def _folders_in(folder: Document) -> list:
    found, newest = [], [folder["_id"]]
    while newest:
        found += newest
        below = Folder().find({"parentId": {"$in": newest}}, fields=["_id"])
        newest = [each["_id"] for each in below]
    return found


def model_told(item: Document) -> Document:
    """Return what is told of a model: its item, its file and the facts of its card."""
    file = _model_file(item)
    return {
        "_id": item["_id"],
        "name": item["name"],
        "folderId": item["folderId"],
        "fileId": file and file["_id"],
        "created": item["created"],
        **item["meta"][MODEL_KEY],
    }


def file_of(item: Document) -> Document:
    """Return the file of a model, as tasks take it.

    Raises:
        ValidationException: the item is no model, or has lost its file.
    """
    check_model(item)
    file = _model_file(item)
    if file is None:
        raise ValidationException(f"{item['name']} has no file.")
    return file


def _model_file(item: Document) -> Document | None:
    return next(filter(may_be_model, Item().childFiles(item)), None)


def report_of(item: Document) -> Document | None:
    """Return the file of the report of a model's training; None: none lies beside the model.

    Who may read the model may read that, as both are in one folder.
    """
    name = f"{PurePosixPath(item['name']).stem}.html"
    report = Item().findOne({"folderId": item["folderId"], "name": name})
    return next(iter(Item().childFiles(report, limit=1)), None) if report else None


def check_offered(item: Document) -> None:
    """Raise ValidationException unless an item is registered as a model and not archived."""
    check_model(item)
    if is_archived(item):
        raise ValidationException(f"{item['name']} is archived; offer it again first.")


def set_default(folder: Document, item: Document) -> Document:
    """Make a model the default of a folder and of the folders in it; returns the folder.

    Raises:
        ValidationException: the item is no model, or one that is archived.
    """
    check_offered(item)
    chosen = _chosen(folder) | {item["meta"][MODEL_KEY]["task"]: str(item["_id"])}
    return Folder().setMetadata(folder, {DEFAULT_KEY: chosen})


def remove_default(folder: Document, task: str) -> Document:
    """Let a folder have the default of the folders that it is in; returns the folder."""
    chosen = {each: model for each, model in _chosen(folder).items() if each != task}
    if chosen:
        return Folder().setMetadata(folder, {DEFAULT_KEY: chosen})
    return Folder().deleteMetadata(folder, [DEFAULT_KEY])


def _chosen(folder: Document) -> dict[str, str]:
    chosen = folder.get("meta", {}).get(DEFAULT_KEY)
    return dict(chosen) if isinstance(chosen, dict) else {}


def default_model(
    folder: Document, task: str, user: Document | None
) -> tuple[Document, Document] | None:
    """Return the model that a task is to use for slides of a folder, and the folder that says so.

    That is the nearest one that says it, of the folder and those that it is in. Models that the
    user may not read, and such as were archived or deleted since, are passed over.
    """
    return _nearest_default(folder, task, partial(_readable, user=user))


def need_default(folder: Document, task: str, user: Document, purpose: str = "") -> Document:
    """Return the model of `default_model`.

    Args:
        folder: of slides.
        task: that is to use it.
        user: who must be able to read it.
        purpose: what it is needed for, as words of a sentence.

    Raises:
        ValidationException: there is none.
    """
    found = default_model(folder, task, user)
    if found is None:
        why = f"has no default model {purpose}".rstrip()
        raise ValidationException(f"The folder {folder['name']} {why}; choose a model.", "modelId")
    return found[0]


def default_of_all(folder: Document, task: str) -> Document | None:
    """Return the same model for whoever may read all."""
    found = _nearest_default(folder, task, _load)
    return found and found[0]


def _nearest_default(
    folder: Document, task: str, load: Callable[[object], Document | None]
) -> tuple[Document, Document] | None:
    for _ in range(DEEPEST):
        item = load(_chosen(folder).get(task))
        if item is not None and _is_usable(item, task):
            return item, folder
        if folder["parentCollection"] != "folder":
            return None
        parent = Folder().load(folder["parentId"], force=True)
        if parent is None:
            return None
        folder = parent
    return None


def _is_usable(item: Document, task: str) -> bool:
    return is_model(item) and not is_archived(item) and item["meta"][MODEL_KEY].get("task") == task


def _load(item_id: object) -> Document | None:
    """Return the item of an id; None where there is none."""
    try:
        return Item().load(item_id, force=True) if item_id else None
    except ValidationException:
        return None


def _readable(item_id: object, user: Document | None) -> Document | None:
    """Return the item of an id; None where there is none, or none that the user may read."""
    item = _load(item_id)
    return item if item and Item().hasAccess(item, user, AccessType.READ) else None


def find_item(file_id: object) -> Document | None:
    """Return the item of a file, or that which has the id itself; None: there is neither."""
    try:
        file = File().load(file_id, force=True) if file_id else None
        return Item().load(file["itemId"] if file else file_id, force=True) if file_id else None
    except ValidationException:
        return None


@access.public
def fill_in_default(event: events.Event) -> None:
    """Answer the form of a task that asks slicer_cli_web for its model with the folder's default.

    Forms can only ask for files by name and place; so theirs ask for a name that stands for it.
    """
    params = event.info["params"]
    task = next((each for each in TASKS if params.get("name") == DEFAULT_NAME.format(each)), None)
    if task is not None:
        event.preventDefault()
        event.addResponse(_default_file(params.get("base_id"), task, getCurrentUser()))


def _default_file(slide_id: object, task: str, user: Document | None) -> Document | None:
    """Return the file of a slide's default model as the form shows it; None: there is none."""
    slide = _readable(slide_id, user)
    if slide is None:
        return None
    found = default_model(Folder().load(slide["folderId"], force=True), task, user)
    file = _model_file(found[0]) if found else None
    if file is None:
        return None
    shown = path_util.getResourcePath("file", file, user=user).split("/")[2:]
    return {**File().filter(file, user), "_path": shown}
