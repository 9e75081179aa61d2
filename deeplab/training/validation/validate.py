"""How good a network is on slides it does not learn from, looked at as a segmentation would."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from operator import add, itemgetter
from typing import Any

import keras

from deeplab.bundles.card import Card
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import AccessDeniedError, ServerError, SlideError, UnreachableError
from deeplab.evaluation.tally import TALLIES, Tally
from deeplab.geometry.frames import WorkBox
from deeplab.inference.stream import Maps, predict_tiles
from deeplab.inference.tensorflow_runtime import tensorflow_predict
from deeplab.models.registry import family_of
from deeplab.training.validation.judges import JUDGING, SeenTile
from deeplab.training.validation.results import Region, Validation, ValidationScore
from deeplab.training.validation.tiles import JudgedSlide, judged_slide

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
        family = family_of(card.config)
        maps, self._judge = JUDGING[family.answer]
        config = card.config
        self._predict = tensorflow_predict(
            family.tile_graph(config, network, maps=maps), config.tiling.trimmed(card.halo)
        )
        decode = family.decode
        self._decode: Callable[[Maps], Any] = (
            partial(decode, card.config) if decode else itemgetter(*maps)
        )
        self._nothing: Tally = TALLIES[family.answer].empty(len(card.classes))
        chosen = (judged_slide(slide, card, most_px=most_px, seed=seed) for slide in slides)
        self._slides = [slide for slide in chosen if slide.slots]

    def __call__(self, step: int) -> Validation:
        """Return the validation of the network as it is after so many steps."""
        scores: list[ValidationScore] = []
        regions: list[Region] = []
        for slide in list(self._slides):
            try:
                pieces = list(self._look_at(slide))
            except (AccessDeniedError, UnreachableError):
                raise  # not the slide's fault
            except (SlideError, ServerError) as error:
                log.warning("%s is set aside: %s", slide.slide.name, error)
                self._set_aside[slide.slide.name] = str(error)
                self._slides.remove(slide)
                continue
            regions += pieces
            scores.append(self._score(slide, pieces))
        return Validation(
            step=step,
            nothing=self._nothing,
            slides=tuple(scores),
            regions=tuple(regions),
            set_aside=dict(self._set_aside),
        )

    def _look_at(self, judged: JudgedSlide) -> Iterator[Region]:
        slide, frame, side = judged.slide, judged.frame, self._card.config.crop_size
        tiles = predict_tiles(
            slide.slide.read,
            frame,
            judged.slots,
            predict=self._predict,
            decode=self._decode,
            batch_size=1,
        )
        for slot, answer in tiles:
            tile = SeenTile(slide, frame, slot.answer, list(_pieces(slot.write, side)))
            yield from self._judge(tile, answer, self._card.config)

    def _score(self, judged: JudgedSlide, pieces: Sequence[Region]) -> ValidationScore:
        return ValidationScore(
            slide=judged.slide.name,
            tally=reduce(add, (piece.tally for piece in pieces), self._nothing),
            work_mpp=judged.frame.work_mpp,
            chosen_px=judged.chosen_px,
            region_px=judged.region_px,
        )


def _pieces(box: WorkBox, side: int) -> Iterator[WorkBox]:
    """Yield the box in rows of equal pieces of about `side`."""
    across, down = (max(1, round(length / side)) for length in (box.width, box.height))
    for row in range(down):
        y, bottom = (box.y + box.height * i // down for i in (row, row + 1))
        for column in range(across):
            x, right = (box.x + box.width * i // across for i in (column, column + 1))
            yield WorkBox(x, y, right - x, bottom - y)
