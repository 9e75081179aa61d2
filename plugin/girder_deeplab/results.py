"""Layers that tasks put on a slide: which came together, and which of them stay."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from girder.constants import AccessType
from girder.models.item import Item
from girder_large_image_annotation.models.annotation import Annotation

from girder_deeplab.cards import MOST_CLASSES, MOST_NAME, Document
from girder_deeplab.marks import PRESENT, mark_of
from girder_deeplab.models import TASKS

FOUND_KEY = "deeplabFound"  # of a slide's metadata, by task
WHOLE_SLIDE = "()"  # as the tasks write the regions of a run that has none


@dataclass
class ResultSet:
    """The layers that one process of a task put on a slide.

    Attributes:
        run: the word that all of them have and no others.
        result_id: the word that the server gave the job; "": none.
        made: task, and digest of the model.
        regions: to which the run was limited.
        layers: without their elements.
    """

    run: str
    result_id: str
    made: tuple[str, str]
    regions: str
    layers: list[Document] = field(default_factory=list)

    @property
    def found(self) -> list[Document]:
        """How much each layer holds, `name`, `count` and `area_mm2`, as the task says it."""
        attributes = _part(self.layers[0].get("annotation"), "attributes")
        told = attributes.get("found")
        return [
            {"name": str(each.get("name"))[:MOST_NAME], **numbers}
            for each in (told if isinstance(told, list) else [])[:MOST_CLASSES]
            if isinstance(each, dict) and (numbers := _numbers(each))
        ]

    @property
    def model(self) -> str:
        """The name of the model, as the task says it."""
        attributes = _part(self.layers[0].get("annotation"), "attributes")
        return str(_part(attributes, "model").get("name") or "")[:MOST_NAME]

    @property
    def ids(self) -> list[Any]:
        """Of the layers, in the order of their making."""
        return [layer["_id"] for layer in self.layers]

    def covers(self, other: ResultSet) -> bool:
        """Return whether this set says anew what another one says of the slide."""
        return self.made == other.made and self.regions in (WHOLE_SLIDE, other.regions)


def keep_results(
    item_id: object,
    result_id: str,
    user: Document,
    *,
    kept: str = "",
    unfinished: Collection[str] = (),
) -> ResultSet | None:
    """Keep one set of layers of a job that has succeeded, and none that it replaces.

    Of the sets of a job that ran twice that of most layers is whole; of several the newest stays.
    Older layers of the same task and model go, where the run looked at the same regions or at the
    whole slide. Those that a person has changed or marked as corrected stay in any case.

    Args:
        item_id: of the slide.
        result_id: of the job.
        user: whose job it was; what they may not write to stays.
        kept: the word of the set that has been kept before, which then stays.
        unfinished: results of jobs that still put layers there, none of which goes.

    Returns:
        the set, or None where the job has put no layers there.
    """
    sets = find_sets(item_id)
    own = [each for each in sets if each.result_id == result_id]
    if not own:
        return None
    stays = max(own, key=lambda each: (each.run == kept, len(each.layers), _newest(each)))
    for each in own:
        if each is not stays:
            _remove(each.layers, user)
    _replace_older(stays, sets, user, unfinished)
    return stays


def keep_results_since(
    item_id: object, task: str, since: datetime, user: Document, unfinished: Collection[str]
) -> ResultSet | None:
    """Do the same for a job that was given no word: its set is the one that came meanwhile.

    Args:
        item_id: of the slide.
        task: of the job.
        since: when the job began.
        user: whose job it was.
        unfinished: results of jobs that still put layers there.

    Returns:
        the set, or None where none came meanwhile, or several, which may be of other jobs.
    """
    sets = find_sets(item_id)
    own = [
        each
        for each in sets
        if not each.result_id
        and each.made[0] == task
        and all(
            layer["created"] >= since and layer["creatorId"] == user["_id"] for layer in each.layers
        )
    ]
    if len(own) != 1:
        return None
    _replace_older(own[0], sets, user, unfinished)
    return own[0]


def _replace_older(
    stays: ResultSet, sets: Iterable[ResultSet], user: Document, unfinished: Collection[str]
) -> None:
    for each in sets:
        if (
            each is not stays
            and each.result_id not in unfinished
            and stays.covers(each)
            and _newest(each) <= _newest(stays)
        ):
            _remove(each.layers, user)


def remove_results(item_id: object, result_id: str, user: Document) -> None:
    """Remove what a job that has failed left on a slide, unless a person has changed it."""
    for each in find_sets(item_id):
        if each.result_id == result_id:
            _remove(each.layers, user)


def find_sets(item_id: object) -> list[ResultSet]:
    """Return the sets of layers on a slide that the tasks put there."""
    query = {
        "itemId": item_id,
        **PRESENT,
        "annotation.attributes.cli": {"$in": list(TASKS)},
    }
    found: dict[tuple[Any, ...], ResultSet] = {}
    for layer in Annotation().find(query, sort=[("_id", 1)]):
        empty = _described(layer)
        key = (empty.run, empty.result_id, empty.made, empty.regions)
        found.setdefault(key, empty).layers.append(layer)
    return list(found.values())


def link_layers(ids: Iterable[object], job_id: object) -> None:
    """Let layers say which job made them, without counting as a change of theirs."""
    link = {"$set": {"annotation.attributes.job": str(job_id)}}
    Annotation().update({"_id": {"$in": list(ids)}}, link)


def result_id_of(layer: Document) -> str:
    """Return the word that the server gave the job which made a layer; "" where it gave none."""
    return _described(layer).result_id


def _described(layer: Document) -> ResultSet:
    attributes = _part(layer.get("annotation"), "attributes")
    params, model = _part(attributes, "params"), _part(attributes, "model")
    return ResultSet(
        run=str(attributes.get("run") or ""),
        result_id=str(params.get("result_id") or ""),
        made=(str(attributes.get("cli")), str(model.get("sha256"))),
        regions=str(params.get("regions")),
    )


def _part(told: object, name: str) -> dict[str, Any]:
    part = told.get(name) if isinstance(told, dict) else None
    return part if isinstance(part, dict) else {}


def _numbers(told: Document) -> dict[str, int | float]:
    """Return count and area of what a layer's attributes say; nothing where they are none."""
    count, area = told.get("count"), told.get("area_mm2")
    is_whole = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**53
    is_size = isinstance(area, (int, float)) and not isinstance(area, bool) and 0 <= area < math.inf
    return {"count": count, "area_mm2": float(area)} if is_whole and is_size else {}


def tell_slide(slide: Document, kept: ResultSet, user: Document) -> None:
    """Say in the metadata of a slide, by task, what was found on it and by which model.

    What was found in a region says nothing of the slide; who may not write to it changes nothing.
    """
    if (
        kept.regions == WHOLE_SLIDE
        and kept.found
        and Item().hasAccess(slide, user, AccessType.WRITE)
    ):
        there = slide.get("meta", {}).get(FOUND_KEY)
        told = {"model": kept.model, "run": kept.run, "classes": kept.found}
        own = {**(there if isinstance(there, dict) else {}), kept.made[0]: told}
        Item().setMetadata(slide, {FOUND_KEY: own})


def _newest(of: ResultSet) -> datetime:
    return max(layer["created"] for layer in of.layers)


def _remove(layers: Iterable[Document], user: Document) -> None:
    for layer in layers:
        # Both times are those of its making until somebody saves it again; so are a copy's.
        untouched = layer["created"] == layer["updated"] and mark_of(layer) is None
        if untouched and Annotation().hasAccess(layer, user, AccessType.WRITE):
            Annotation().remove(layer)
