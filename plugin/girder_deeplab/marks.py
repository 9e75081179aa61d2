"""Marks of layers that are corrected: they stand in the layer itself, and go with it."""

from __future__ import annotations

from girder_deeplab.cards import MOST_NAME, Document

CORRECTED = "corrected"  # among a layer's attributes: who has marked it, and when
WITHIN = "within"  # of the mark: the layer of the regions in which alone the layer is corrected
NEXT_REGIONS = "annotate next"  # the layer of such regions, as SegmentWSI adds it
PRESENT = {"_active": {"$ne": False}}  # neither an old version of a layer, nor deleted
MARK = f"annotation.attributes.{CORRECTED}"
MARKED = {MARK: {"$type": "object"}}
# A layer that a task made and that says so still: nobody has corrected all of it.
MADE_BY_TASK = {"$or": [{MARK: {"$not": {"$type": "object"}}}, {f"{MARK}.{WITHIN}": {"$gt": ""}}]}


def attributes_of(layer: Document) -> Document:
    """Return what a layer says of itself beside its name."""
    attributes = layer.get("annotation", {}).get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def mark_of(layer: Document) -> Document | None:
    """Return the mark of a layer; None: nobody has marked it as corrected."""
    mark = attributes_of(layer).get(CORRECTED)
    return mark if isinstance(mark, dict) else None


def made_by(layer: Document) -> str:
    """Return the task that made a layer; "": a person drew it, or has marked all of it."""
    if mark_of(layer) is not None and not word_of(mark_of(layer), WITHIN):
        return ""
    return str(attributes_of(layer).get("cli") or "")


def is_true(layer: Document) -> bool:
    """Return whether a layer is learnt from where only corrections count."""
    return mark_of(layer) is not None or not made_by(layer)


def mark_told(layer: Document) -> Document | None:
    """Return the mark of a layer as it is told: `by`, `byId`, `at` and `within`; None: none."""
    mark = mark_of(layer)
    return (
        None if mark is None else {key: word_of(mark, key) for key in ("by", "byId", "at", WITHIN)}
    )


def layer_told(layer: Document) -> Document:
    """Return what is told of a layer: its id, name, maker and mark."""
    return {
        "_id": layer["_id"],
        "name": str(layer["annotation"].get("name")),
        "madeBy": str(attributes_of(layer).get("cli") or ""),
        CORRECTED: mark_told(layer),
    }


def word_of(told: Document | None, key: str) -> str:
    """Return a text of what people may change; "": it is none."""
    value = (told or {}).get(key)
    return value[:MOST_NAME] if isinstance(value, str) else ""
