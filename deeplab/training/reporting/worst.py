"""Where a model is worst on the held-out slides, as a layer to look at in HistomicsUI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deeplab import __version__
from deeplab.annotations.rectangles import Rectangle, rectangle_annotation
from deeplab.config.classes import ClassList
from deeplab.files import safe_name, whole_file
from deeplab.interrupt import finishing
from deeplab.server.annotations import (
    annotation_heads,
    delete_annotation,
    post_annotations,
)
from deeplab.server.session import Session
from deeplab.training.reporting.error_words import ERROR_WORDS
from deeplab.training.validation.results import Region, Validation

LAYER = "worst regions"
COLOUR = (213, 94, 0)
MOST = 10  # on a slide
CLI = "TrainNetwork"


def worst_layers(validation: Validation, classes: ClassList, model: str) -> dict[str, Any]:
    """By slide an annotation of HistomicsUI: the worst regions, the worst first.

    A slide without errors has a layer without elements.

    Args:
        validation: of the model that is kept.
        classes: for the names in the labels.
        model: its name.
    """
    layers: dict[str, Any] = {}
    worst = validation.worst(len(validation.regions))
    for score in validation.slides:
        own = [region for region in worst if region.slide == score.slide][:MOST]
        layers[score.slide] = rectangle_annotation(
            LAYER,
            COLOUR,
            [_rectangle(region, rank, classes) for rank, region in enumerate(own, start=1)],
            description=f"where {model} differs most from what was drawn, "
            f"after {validation.step} steps",
            attributes={"cli": CLI, "version": __version__, "model": model},
        )
    return layers


def write_worst(folder: Path, layers: Mapping[str, Any]) -> list[Path]:
    """Return one file a slide, as HistomicsUI takes it in.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = []
    for number, (slide, layer) in enumerate(layers.items(), start=1):
        path = folder / f"{number:02d} {safe_name(slide)}.anot"
        with whole_file(path) as draft, draft.open("w", encoding="utf-8") as file:
            json.dump([layer], file, allow_nan=False)
        paths.append(path)
    return paths


def post_worst(session: Session, layer: Mapping[str, Any], item: str) -> None:
    """Put a layer on the item of its slide, in the place of that of an earlier training.

    Layers of that name that are not a training's stay as they are. The old one goes when the new
    one is there.

    Raises:
        AccessDeniedError: the token has no right to write there.
        ServerError: the server refuses or fails.
    """
    old = [
        head.id
        for head in annotation_heads(session, item)
        if head.name == LAYER and head.attributes.get("cli") == CLI
    ]
    with finishing("layers on the server"):
        post_annotations(session, item, [dict(layer)])
        for annotation_id in old:
            delete_annotation(session, annotation_id)


def _rectangle(region: Region, rank: int, classes: ClassList) -> Rectangle:
    names = ("background", *classes.names)
    truth, prediction = (names[label] for label in region.commonest_error or (0, 0))
    share, words = region.error_share, ERROR_WORDS[region.tally.kind]
    most = f", most: {words.mistake(truth, prediction)}" if region.commonest_error else ""
    return Rectangle(
        box=region.frame.to_level0(region.box),
        text=words.label(share) + most,
        properties={
            "rank": rank,
            "error_share": round(share, 4),
            "drawn": truth,
            "predicted": prediction,
        },
    )
