"""How good a network is on slides it does not learn from, looked at as a segmentation would."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.card import Card
from deeplab.config.classes import IGNORE
from deeplab.data.mining import Place
from deeplab.data.sampling import Patch, Scales
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import ServerError, SlideError
from deeplab.evaluation.semantic import Confusion
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.inference.runtime import tensorflow_predict
from deeplab.inference.stream import predict_tiles
from deeplab.models.outputs import LABELS
from deeplab.models.registry import family_of
from deeplab.training.judged import JudgedSlide, judged_slide
from deeplab.training.validation import Region, SlideScore, Validation

log = logging.getLogger(__name__)


class Validator:
    """Looks at the same tiles of the same slides every time.

    A slide that cannot be read any more is set aside: this and later looks go without it.

    Args:
        network: what is judged; its weights may change from look to look.
        card: how it is to be used: um per pixel, tile, halo, classes.
        slides: held out.
        most_px: work pixels judged on each slide; of larger ones a draw is taken.
        seed: of the draws.
    """

    def __init__(
        self,
        *,
        network: keras.Model,
        card: Card,
        slides: Sequence[AnnotatedSlide],
        most_px: int,
        seed: int,
    ) -> None:
        self._card, self._set_aside = card, dict[str, str]()
        graph = family_of(card.config).predictor(network, maps=(LABELS,))
        self._predict = tensorflow_predict(graph)
        chosen = (judged_slide(slide, card, most_px=most_px, seed=seed) for slide in slides)
        self._slides = [slide for slide in chosen if slide.slots]

    def __call__(self, step: int) -> Validation:
        """How good the network is now, after so many steps."""
        scores: list[SlideScore] = []
        regions: list[Region] = []
        for slide in list(self._slides):
            try:
                pieces = list(self._look_at(slide))
            except (SlideError, ServerError) as error:
                log.warning("%s is set aside: %s", slide.slide.name, error)
                self._set_aside[slide.slide.name] = str(error)
                self._slides.remove(slide)
                continue
            regions += pieces
            scores.append(self._score(slide, pieces))
        return Validation(
            step=step,
            label_count=self._card.classes.label_count,
            slides=tuple(scores),
            regions=tuple(regions),
            set_aside=dict(self._set_aside),
        )

    def _look_at(self, judged: JudgedSlide) -> Iterator[Region]:
        slide, frame = judged.slide, judged.frame
        tiles = predict_tiles(slide.slide, frame, judged.slots, predict=self._predict, batch_size=1)
        for slot, maps in tiles:
            for box in _pieces(slot.write, self._card.config.crop_size):
                truth = slide.labels(frame, box)
                yield Region.of(
                    slide.name,
                    frame,
                    box,
                    truth=truth,
                    # Tiles without tissue are passed over: nothing is found there.
                    prediction=truth * 0 if maps is None else maps[LABELS][box.within(slot.read)],
                    label_count=self._card.classes.label_count,
                )

    def _score(self, judged: JudgedSlide, pieces: Sequence[Region]) -> SlideScore:
        confusion = Confusion(self._card.classes.label_count)
        for piece in pieces:
            confusion.counts += piece.confusion.counts
        return SlideScore(
            slide=judged.slide.name,
            confusion=confusion,
            mpp_work=judged.frame.mpp_work,
            chosen_px=judged.chosen_px,
            region_px=judged.region_px,
        )


def _pieces(box: WorkBox, side: int) -> Iterator[WorkBox]:
    """The box in rows of equal pieces of about `side`."""
    across, down = (max(1, round(length / side)) for length in (box.width, box.height))
    for row in range(down):
        y, bottom = (box.y + box.height * i // down for i in (row, row + 1))
        for column in range(across):
            x, right = (box.x + box.width * i // across for i in (column, column + 1))
            yield WorkBox(x, y, right - x, bottom - y)


def hold_out_patches(
    slides: Sequence[AnnotatedSlide], side: int, scales: Scales, most: int, seed: int
) -> list[Patch]:
    """At most `most` patches side by side over the annotated part of slides, the same every time.

    Where there are more, a seeded draw of them is taken.
    """
    random = np.random.default_rng([seed, 1])
    places = [
        (number, frame, box)
        for number, slide in enumerate(slides)
        for frame in [slide.slide.frame(scales.draw(slide, random))]
        for box in _tiled(frame.to_work(slide.extent()).intersection(frame.box), side)
    ]
    if len(places) > most:
        places = [places[i] for i in sorted(random.choice(len(places), most, replace=False))]
    patches = (_cut(slides[number], number, frame, box) for number, frame, box in places)
    return [patch for patch in patches if (patch.labels != IGNORE).any()]


def _cut(slide: AnnotatedSlide, number: int, frame: WorkFrame, box: WorkBox) -> Patch:
    middle = frame.to_level0(box)
    place = Place(number, middle.x0 + middle.width / 2, middle.y0 + middle.height / 2)
    return Patch(*slide.read(frame, box), place)


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
