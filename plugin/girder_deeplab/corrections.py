"""Layers that people mark as corrected, and the slides that have such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder_large_image_annotation.models.annotation import Annotation

from girder_deeplab import models
from girder_deeplab.batches import READABLE
from girder_deeplab.cards import Document
from girder_deeplab.marks import (
    MARK,
    MARKED,
    NEXT_REGIONS,
    PRESENT,
    WITHIN,
    attributes_of,
    layer_told,
    mark_of,
    word_of,
)
from girder_deeplab.runs import in_utc

UTC = timezone.utc
HEADS = ["annotation.name", "annotation.attributes", "itemId", "created", "updated", "creatorId"]
HEADS += ["access", "public"]  # which the right to read is told by


def set_corrected(layer: Document, user: Document, *, corrected: bool) -> Document:
    """Mark a layer as corrected, or take the mark off; returns what is told of the layer then.

    The mark of regions to annotate next is one of all layers of their run, within them. Pieces of
    a very large layer are marked together.

    Args:
        layer: without its elements.
        user: who says so, and must be able to write to all of these.
        corrected: whether it is.

    Raises:
        ValidationException: it is a layer that is there no more.
        AccessException: the user may not write to one of them.
    """
    if layer.get("_active") is False:
        raise ValidationException("The layer is an old version, or was deleted.", "id")
    of_task = bool(word_of(attributes_of(layer), "run"))
    is_regions = of_task and layer["annotation"].get("name") == NEXT_REGIONS
    meant = [layer, *(_layers_within(layer) if is_regions else _pieces_with(layer))]
    for each in meant:
        Annotation().requireAccess(each, user, AccessType.WRITE)
    now = datetime.now(UTC)
    # As people see a change of theirs: what is unchanged makes room for the next run's.
    change: dict[str, Any] = {"$set": {"updated": now, "updatedId": user["_id"]}}
    if corrected:
        mark = {"by": user["login"], "byId": str(user["_id"]), "at": now.isoformat("T", "seconds")}
        change["$set"][MARK] = {**mark, WITHIN: NEXT_REGIONS} if is_regions else mark
    else:
        change["$unset"] = {MARK: ""}
    ids = [each["_id"] for each in meant]
    Annotation().update({"_id": {"$in": ids}}, change)
    now_there = Annotation().findOne({"_id": layer["_id"]}, fields=HEADS)
    return {**layer_told(now_there), "itemId": now_there["itemId"], "layers": ids}


def _layers_within(regions: Document) -> list[Document]:
    """Return the layers of the run that suggested regions, but such as are corrected as a whole."""
    return [
        each for each in _of_run(regions) if mark_of(each) is None or word_of(mark_of(each), WITHIN)
    ]


def _pieces_with(layer: Document) -> list[Document]:
    """Return the other pieces of a layer that is a piece."""
    whole = _whole_of(layer)
    if whole is None:
        return []
    return [each for each in _of_run(layer) if _whole_of(each) == whole]


def _whole_of(layer: Document) -> object:
    """Return which layer one is a piece of; None: it is no piece."""
    piece = attributes_of(layer).get("piece")
    return piece.get("layer") if isinstance(piece, dict) else None


def _of_run(layer: Document) -> list[Document]:
    """Return the other layers that were put on the slide together with one."""
    run = word_of(attributes_of(layer), "run")
    if not run:
        return []
    same = {"itemId": layer["itemId"], "annotation.attributes.run": run, **PRESENT}
    return list(Annotation().find({**same, "_id": {"$ne": layer["_id"]}}))


def layers_on(
    items: Iterable[object], user: Document | None, **query: object
) -> Iterator[Document]:
    """Return the layers on items that a user may read, without their elements."""
    return find_layers({"itemId": {"$in": list(items)}, **query}, user)


def find_layers(query: Document, user: Document | None) -> Iterator[Document]:
    """Return the layers of a query that are there and a user may read, without their elements."""
    return Annotation().findWithPermissions(
        {**query, **PRESENT},
        fields=HEADS,
        user=user,
        level=AccessType.READ,
        sort=[("_id", 1)],
    )


def corrections_told(
    folder: Document, model: Document | None, user: Document | None
) -> list[Document]:
    """Return the slides of a folder that have corrected layers.

    Args:
        folder: slides in folders of it are not looked at, as trainings do not.
        model: item of a model; None: none is asked about.
        user: as far as they may read the layers.

    Returns:
        of each slide `_id`, `name`, `layers` as `layer_told` has them, each with `updated`, and
        `isNewer`: whether one of them was marked or changed since the training of the model ended;
        None without a model.
    """
    ended = None if model is None else trained(model)
    slides = {
        each["_id"]: each
        for each in Folder().childItems(folder, filters=READABLE, sort=[("lowerName", 1)])
    }
    layers: dict[Any, list[Document]] = {}
    for each in layers_on(slides, user, **MARKED):
        layers.setdefault(each["itemId"], []).append(each)
    return [
        {
            "_id": item_id,
            "name": slide["name"],
            "layers": [
                {**layer_told(each), "updated": each["updated"]} for each in layers[item_id]
            ],
            "isNewer": ended and any(in_utc(each["updated"]) > ended for each in layers[item_id]),
        }
        for item_id, slide in slides.items()
        if item_id in layers
    ]


def trained(model: Document) -> datetime:
    """Return when the training of a model ended, or, where it does not say so, when it came."""
    models.check_model(model)
    try:
        told = datetime.fromisoformat(str(model["meta"][models.MODEL_KEY].get("finished")))
    except ValueError:
        told = model["created"]
    return in_utc(told)
