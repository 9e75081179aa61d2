"""How what a network answers of a tile is compared with what was drawn, by the kind of answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from deeplab.annotations.raster.rasterize import Labels
from deeplab.config.classes import IGNORE
from deeplab.config.network import NetworkConfig
from deeplab.data.truth import AnnotatedSlide
from deeplab.evaluation.object_tally import Objects, tally_objects
from deeplab.evaluation.patch_tally import PatchTally
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.models.answers import AnswerKind, ObjectAnswer, PatchAnswer
from deeplab.models.outputs import CLASSES, KNOWN, LABELS, PredictedMap
from deeplab.models.registry import family_of
from deeplab.training.validation.results import Region


class SeenTile(NamedTuple):
    """A tile of a held-out slide that a network has answered.

    Attributes:
        slide: pixels and truth.
        frame: of the boxes.
        answered: what the network answers for, work pixels.
        pieces: what is judged, in which no pixel is twice; of these the regions are made.
    """

    slide: AnnotatedSlide
    frame: WorkFrame
    answered: WorkBox
    pieces: Sequence[WorkBox]


class Judge(Protocol):
    """What compares a tile's answer with the truth."""

    def __call__(
        self,
        tile: SeenTile,
        answer: Any,  # noqa: ANN401  of its own kind
        config: Any,  # noqa: ANN401  the family's own config
    ) -> Iterator[Region]:
        """Return one region for each piece; no answer: nothing is found there."""


class Judging(NamedTuple):
    """How answers of one kind are judged.

    Attributes:
        maps: asked of the predictor.
        judge: compares.
    """

    maps: tuple[PredictedMap, ...]
    judge: Judge


def judge_labels(tile: SeenTile, answer: Labels | None, config: NetworkConfig) -> Iterator[Region]:
    """Compare labels uint8 (answered.height, answered.width) pixel by pixel."""
    for box in tile.pieces:
        truth = tile.slide.labels(tile.frame, box)
        # Tiles without tissue are passed over: nothing is found there.
        labels = truth * 0 if answer is None else answer[box.within(tile.answered)]
        tally = Confusion(config.class_count + 1)
        tally.add(truth, labels)
        yield Region.of(
            tile.slide.name,
            tile.frame,
            box,
            tally=tally,
            judged_px=tally.pixels,
            prediction={"labels": labels},
        )


def judge_objects(
    tile: SeenTile, answer: ObjectAnswer | None, config: NetworkConfig
) -> Iterator[Region]:
    """Compare objects one by one.

    They are matched in all that the tile shows, and count where they have their centre: an object
    is judged as a whole, and once, however the slide is cut into tiles and regions.
    """
    frame, answered, class_count = tile.frame, tile.answered, config.class_count
    drawn = tile.slide.truth(frame, answered, ("instances", "labels"))
    truth = Objects.of_rasters(drawn["instances"], drawn["labels"], class_count)
    prediction = _predicted(answer, answered)
    unjudged = (drawn["labels"] == IGNORE) & (drawn["instances"] == 0)
    tallies = tally_objects(
        truth,
        prediction,
        class_count=class_count,
        unjudged=unjudged,
        parts=[box.within(answered) for box in tile.pieces],
    )
    # By number, 0 the background: what is no object has label 0, an object of no known type IGNORE.
    label_of = np.concatenate([[0], np.where(prediction.labels == 0, IGNORE, prediction.labels)])
    for box, tally in zip(tile.pieces, tallies, strict=True):
        part = box.within(answered)
        instances = prediction.instances[part]
        yield Region.of(
            tile.slide.name,
            frame,
            box,
            tally=tally,
            judged_px=int(np.count_nonzero(~unjudged[part])),
            prediction={
                "instances": instances,
                "labels": label_of.astype(np.uint8)[instances],
            },
        )


def _predicted(answer: ObjectAnswer | None, answered: WorkBox) -> Objects:
    if answer is None:
        nothing = np.zeros((answered.height, answered.width), np.int32)
        return Objects(nothing, np.zeros(0, np.uint8))
    return Objects(answer.instances, answer.labels)


def judge_patch(
    tile: SeenTile, answer: PatchAnswer | None, config: NetworkConfig
) -> Iterator[Region]:
    """Compare the scores of a patch with the classes that cover it.

    A patch that a classification passes over, for it has no tissue, is not counted.
    """
    drawn = tile.slide.truth(tile.frame, tile.answered, ("classes", "labels"))
    targets = family_of(config).encode(config, drawn)
    tally, taken_for = PatchTally.empty(config.class_count), 0
    is_judged = answer is not None and targets[KNOWN] > 0
    if answer is not None and is_judged:
        scores, exclusive = answer.scores, answer.exclusive
        tally = PatchTally.of_scores(scores, targets[CLASSES], exclusive=exclusive)
        likeliest = int(scores.argmax())
        taken_for = likeliest + 1 if exclusive or scores[likeliest] >= HALF_SURE else 0
    for box in tile.pieces:
        yield Region.of(
            tile.slide.name,
            tile.frame,
            box,
            tally=tally,
            judged_px=box.width * box.height * int(is_judged),
            prediction={"labels": np.full((box.height, box.width), taken_for, np.uint8)},
        )
        tally = PatchTally.empty(config.class_count)  # one answer is counted once


HALF_SURE = 0.5

JUDGING: Final[Mapping[AnswerKind, Judging]] = MappingProxyType(
    {
        "labels": Judging((LABELS,), judge_labels),
        "objects": Judging((), judge_objects),
        "patch": Judging((), judge_patch),
    }
)
