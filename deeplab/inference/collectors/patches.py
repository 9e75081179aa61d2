"""Scores of patches, each at its place: heatmaps, rectangles and a table are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.trace.outlines import TracedShape
from deeplab.config.classes import ClassList
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.inference.heatmap import LEAST
from deeplab.models.answers import PatchAnswer

HALF_SURE = 0.5


@dataclass(slots=True)
class PatchCollector:
    """Takes the patches of a plan in reading order, and keeps the scores of those that have any.

    Attributes:
        classes: in the order of the scores.
        frame: of the places.
        asked: score from which a patch is taken for a class, one a class; None: 0.5, or any
            where the patch is taken for the one of the highest score.
        exclusive: whether a patch is taken for one class at most.
    """

    classes: ClassList
    frame: WorkFrame
    asked: Sequence[float | None]
    exclusive: bool = False
    _places: list[WorkBox] = field(default_factory=list)
    _scores: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, slot: TileSlot, answer: PatchAnswer | None) -> None:
        """Take the next patch; no answer: it was passed over."""
        if answer is not None:
            self.exclusive = answer.exclusive
            self._places.append(slot.write)
            self._scores.append(answer.scores)

    @property
    def thresholds(self) -> list[float]:
        """Score from which a patch is taken for a class, one a class."""
        return least_scores(self.asked, exclusive=self.exclusive)

    def taken(self, answer: PatchAnswer | None) -> list[int]:
        """Return the numbers of the classes that a patch is taken for, from 0 on."""
        if answer is None:
            return []
        return taken_for(answer.scores, self.thresholds, exclusive=answer.exclusive)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Scores of the patches, (n, classes)."""
        if not self._scores:
            return np.zeros((0, len(self.classes)), np.float32)
        return np.stack(self._scores)

    @property
    def places(self) -> Sequence[WorkBox]:
        """What each patch answers for, work pixels."""
        return self._places

    def found(self) -> Iterator[TracedShape]:
        """Yield a rectangle for each class that a patch is taken for."""
        for box, scores in zip(self._places, self._scores, strict=True):
            part = self.frame.to_level0(box)
            polygon = shapely.box(part.x0, part.y0, part.x0 + part.width, part.y0 + part.height)
            for at in taken_for(scores, self.thresholds, exclusive=self.exclusive):
                yield TracedShape(at + 1, polygon, box.width * box.height, float(scores[at]))

    def heatmaps(self) -> list[Heatmap]:
        """Return a heatmap a class, its points in the middle of what the patches answer for."""
        scores, corners = self.scores, [self.frame.to_level0(box) for box in self._places]
        middles = np.array([(c.x0 + c.width / 2, c.y0 + c.height / 2) for c in corners])
        radius = max((max(c.width, c.height) for c in corners), default=1.0)
        maps = []
        for at, entry in enumerate(self.classes):
            shown = scores[:, at] >= LEAST
            points = np.column_stack([middles.reshape(-1, 2)[shown], scores[shown, at]])
            maps.append(Heatmap(entry.name, entry.colour, points, radius))
        return maps


def least_scores(asked: Sequence[float | None], *, exclusive: bool) -> list[float]:
    """Return the score from which a patch is taken for each class: the usual one for None.

    Args:
        asked: one a class.
        exclusive: whether a patch is of one class at most: then the highest score is enough.
    """
    usual = 0.0 if exclusive else HALF_SURE
    return [usual if least is None else least for least in asked]


def taken_for(
    scores: NDArray[np.float32], thresholds: Sequence[float], *, exclusive: bool
) -> list[int]:
    """Return the numbers of the classes, from 0 on, that scores (classes,) are taken for."""
    above = [at for at, least in enumerate(thresholds) if scores[at] >= least]
    if exclusive:
        return [at for at in above if at == int(scores.argmax())]
    return above
