"""Where a layer or a model comes from: jobs, models, slides learnt from, and people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bson import ObjectId
from girder.constants import AccessType
from girder.models.item import Item
from girder.models.user import User
from girder_jobs.models.job import Job

from girder_deeplab import models
from girder_deeplab.cards import GIRDER_ID, Document
from girder_deeplab.corrections import find_layers, layers_on, trained
from girder_deeplab.marks import attributes_of, layer_told, made_by, mark_of, word_of
from girder_deeplab.runs import in_utc

MOST_MODELS = 100  # that are told
MOST_SLIDES = 10_000  # of a model whose layers are looked at for people


def layer_lineage(layer: Document, user: Document | None) -> Document:
    """Return where a layer comes from, as far as a user may read it.

    Args:
        layer: without its elements.
        user: who asks.

    Returns:
        `layer` (what `layer_told` returns, its `itemId`, and who made and last changed it), `job`
        that made it (None: none, or none that the user may read), and `models`: the one that it is
        of, then those that this is made of; see `model_lineage`.
    """
    attributes = attributes_of(layer)
    told = attributes.get("model") if isinstance(attributes.get("model"), dict) else {}
    sha256 = word_of(told, "sha256")
    item = _find(sha256, user)
    chain = [_unknown(sha256, word_of(told, "name"))] if sha256 else []
    if item is not None:
        chain = model_lineage(item, user)["models"]
    return {
        "layer": {
            **layer_told(layer),
            "itemId": layer["itemId"],
            "createdBy": _person(layer.get("creatorId"), user),
            "updatedBy": _person(layer.get("updatedId"), user),
        },
        "job": _job(attributes.get("job"), user),
        "models": chain,
    }


def model_lineage(item: Document, user: Document | None) -> Document:
    """Return what a model is made of, as far as a user may read it.

    Args:
        item: of the model.
        user: who asks.

    Returns:
        `models`: first the model, then those that it began with or was joined of, the nearest
        first, as their cards say it. Of each `sha256`, `_id` of its item (None: it is not on this
        server, or the user may not read it; then there is no more than the name, where a layer
        says it), `name`, `created`, `createdBy`, `finished`, `slides` (items that it learnt from),
        `otherSlides` (number of those that the user may not read, or that are gone), `layers` (that
        it learnt from itself, as they are now; `changed`: since its training ended), `otherLayers`,
        and `people`: who drew or corrected layers on these slides, as they are now.

    Raises:
        ValidationException: the item is no model.
    """
    models.check_model(item)
    chain = [_model_told(item, user)]
    for sha256 in models.made_of(item)[: MOST_MODELS - 1]:
        found = _find(sha256, user)
        chain.append(_model_told(found, user) if found else _unknown(sha256))
    return {"models": chain}


def _unknown(sha256: str, name: str = "") -> Document:
    return {"sha256": sha256, "_id": None, "name": name}


def _model_told(item: Document, user: Document | None) -> Document:
    ids = models.slides_of(item)
    slides = _readable(ids, user)
    layers = _layers_learnt_from(item, user)
    return {
        "sha256": word_of(item["meta"][models.MODEL_KEY], "sha256"),
        "_id": item["_id"],
        "name": item["name"],
        "created": item["created"],
        "createdBy": _person(item.get("creatorId"), user),
        "finished": word_of(item["meta"][models.MODEL_KEY], "finished"),
        "slides": [{key: slide[key] for key in ("_id", "name", "folderId")} for slide in slides],
        "otherSlides": len(ids) - len(slides),
        "layers": layers,
        "otherLayers": len(models.layers_of(item)) - len(layers),
        "people": _people([slide["_id"] for slide in slides], user),
    }


def _layers_learnt_from(item: Document, user: Document | None) -> list[Document]:
    ids = [ObjectId(each) for each in models.layers_of(item)]
    ended = trained(item)
    return [
        {
            **layer_told(each),
            "itemId": each["itemId"],
            "changed": in_utc(each["updated"]) > ended,
        }
        for each in find_layers({"_id": {"$in": ids}}, user)
    ]


def _find(sha256: str, user: Document | None) -> Document | None:
    """Return the oldest model of a file that a user may read; None: there is none."""
    if not sha256:
        return None
    found = Item().findWithPermissions(
        {f"meta.{models.MODEL_KEY}.sha256": sha256},
        user=user,
        level=AccessType.READ,
        sort=[("created", 1)],
        limit=1,
    )
    return next(iter(found), None)


def _readable(ids: Iterable[str], user: Document | None) -> list[Document]:
    query = {"_id": {"$in": [ObjectId(each) for each in ids if GIRDER_ID.fullmatch(each)]}}
    found = Item().findWithPermissions(
        query, user=user, level=AccessType.READ, sort=[("lowerName", 1), ("_id", 1)]
    )
    return list(found)


def _people(slides: list[Any], user: Document | None) -> list[Document]:
    """Return who drew or corrected layers on slides, with the number of layers of each."""
    drawn: dict[Any, int] = {}
    corrected: dict[Any, int] = {}
    for layer in layers_on(slides[:MOST_SLIDES], user):
        mark = mark_of(layer)
        if mark is not None:
            _count(corrected, word_of(mark, "byId"))
        elif not made_by(layer):
            _count(drawn, str(layer.get("creatorId") or ""))
    return [
        {**_person(each, user), "drew": drawn.get(each, 0), "corrected": corrected.get(each, 0)}
        for each in dict.fromkeys([*corrected, *drawn])
        if GIRDER_ID.fullmatch(each)
    ]


def _count(numbers: dict[Any, int], key: str) -> None:
    numbers[key] = numbers.get(key, 0) + 1


def _person(person_id: object, user: Document | None) -> Document | None:
    """Return the id of a person, and their login if the user may see it; None: nobody."""
    if not GIRDER_ID.fullmatch(str(person_id)):
        return None
    person = User().load(person_id, force=True)
    is_seen = person is not None and User().hasAccess(person, user, AccessType.READ)
    return {"_id": str(person_id), "login": person["login"] if is_seen else None}


def _job(job_id: object, user: Document | None) -> Document | None:
    if not GIRDER_ID.fullmatch(str(job_id)):
        return None
    job = Job().load(str(job_id), force=True)
    if job is None or not Job().hasAccess(job, user, AccessType.READ):
        return None
    return {key: job.get(key) for key in ("_id", "title", "status", "created", "userId")}
