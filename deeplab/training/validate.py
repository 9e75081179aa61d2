"""How good a network is on slides it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from deeplab.config.classes import IGNORE
from deeplab.data.sampling import Patch, Scales
from deeplab.data.truth import AnnotatedSlide
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import WorkBox


def hold_out_patches(
    slides: Sequence[AnnotatedSlide], side: int, scales: Scales, most: int, seed: int
) -> list[Patch]:
    """At most `most` patches side by side over the annotated part of slides, the same every time.

    Where there are more, a seeded draw of them is taken.
    """
    random = np.random.default_rng([seed, 1])
    places = [
        (slide, frame, box)
        for slide in slides
        for frame in [slide.slide.frame(scales.draw(slide, random))]
        for box in _tiled(frame.to_work(slide.extent()).intersection(frame.box), side)
    ]
    if len(places) > most:
        places = [places[i] for i in sorted(random.choice(len(places), most, replace=False))]
    patches = (Patch(*slide.read(frame, box)) for slide, frame, box in places)
    return [patch for patch in patches if (patch.labels != IGNORE).any()]


def _tiled(area: WorkBox, side: int) -> Iterator[WorkBox]:
    for y in range(area.y, area.bottom, side):
        for x in range(area.x, area.right, side):
            yield WorkBox(x, y, side, side)


def evaluate(
    predict: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    patches: Sequence[Patch],
    *,
    label_count: int,
    batch_size: int,
) -> Confusion:
    """Confusion over patches.

    Args:
        predict: tiles (n, side, side, 3) to labels (n, side, side).
        patches: what to predict, and the truth.
        label_count: the background included.
        batch_size: patches at once.
    """
    confusion = Confusion(label_count)
    for first in range(0, len(patches), batch_size):
        some = patches[first : first + batch_size]
        labels = predict(np.stack([patch.rgb for patch in some]))
        confusion.add(np.stack([patch.labels for patch in some]), labels)
    return confusion
