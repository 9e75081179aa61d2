"""Which layers the slides of a folder have, before anybody learns from them or judges by them."""

from __future__ import annotations

import unicodedata
from collections import defaultdict

from girder.constants import AccessType
from girder.exceptions import ValidationException
from girder.models.folder import Folder
from girder_large_image_annotation.models.annotation import Annotation

from girder_deeplab.batches import READABLE
from girder_deeplab.cards import Document
from girder_deeplab.marks import MADE_BY_TASK, MARK, PRESENT, is_true, made_by, mark_of

NEEDED = ["annotation.name", "annotation.attributes.cli", MARK, "itemId", "_elementCount", "access"]
MOST_NAMES_SAID = 20


def take_census(
    folder: Document, user: Document | None, *, corrected_only: bool = False
) -> Document:
    """Return which layers are on the slides of a folder, as far as a user may read them.

    Args:
        folder: of the slides.
        user: who asks.
        corrected_only: whether only what a training on corrections learns from is looked at.

    Returns:
        `slides` and `annotatedSlides` (numbers), and `layers` by name, each with `name`, `madeBy`
        (a task, or "" for a person who drew it or marked all of it as corrected), `slides` and
        `elements` (numbers; None: an old annotation does not say how many it has).
    """
    slides = [each["_id"] for each in Folder().childItems(folder, filters=READABLE)]
    found = Annotation().findWithPermissions(
        {"itemId": {"$in": slides}, **PRESENT},
        fields=NEEDED,
        user=user,
        level=AccessType.READ,
    )
    if corrected_only:
        found = _corrected(list(found))
    on: dict[tuple[str, str], set] = defaultdict(set)
    elements: dict[tuple[str, str], int | None] = defaultdict(int)
    for layer in found:
        told = layer.get("annotation", {})
        key = (str(told.get("name")), made_by(layer))
        on[key].add(layer["itemId"])
        count, before = layer.get("_elementCount"), elements[key]
        elements[key] = None if count is None or before is None else before + count
    return {
        "slides": len(slides),
        "annotatedSlides": len(set().union(*on.values())),
        "layers": [
            {"name": key[0], "madeBy": key[1], "slides": len(on[key]), "elements": elements[key]}
            for key in sorted(on)
        ],
    }


def _corrected(layers: list[Document]) -> list[Document]:
    """Return the layers that people drew or marked, of slides on which they marked one."""
    slides = {each["itemId"] for each in layers if mark_of(each) is not None}
    return [each for each in layers if each["itemId"] in slides and is_true(each)]


def check_classes(census: Document, classes: list) -> None:
    """Raise ValidationException unless each class is the name of a layer somewhere.

    Names are compared as the tasks do.
    """
    names = {folded(layer["name"]): layer["name"] for layer in census["layers"]}
    for each in classes:
        if folded(each) not in names:
            there = ", ".join(sorted(names.values())[:MOST_NAMES_SAID]) or "none at all"
            raise ValidationException(
                f"No slide of the folder has a layer {each}; there are: {there}.", "classes"
            )


def check_segmented(folder: Document, model: str, sha256: str, user: Document | None) -> None:
    """Raise ValidationException unless a slide of a folder has a layer that a model made.

    Args:
        folder: with slides.
        model: its name, for people.
        sha256: of its file, as its layers have it.
        user: who must be able to read the layer.
    """
    slides = [each["_id"] for each in Folder().childItems(folder, filters=READABLE)]
    found = Annotation().findWithPermissions(
        {
            "itemId": {"$in": slides},
            **PRESENT,
            "annotation.attributes.model.sha256": sha256,
            **MADE_BY_TASK,
        },
        fields=NEEDED,
        user=user,
        level=AccessType.READ,
        limit=1,
    )
    if next(iter(found), None) is None:
        raise ValidationException(
            f"No slide of the folder has a layer that {model} made; have it segment them first.",
            "modelId",
        )


def folded(name: str) -> str:
    """Return a name without what people vary: case, blanks around and doubled, composed letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
