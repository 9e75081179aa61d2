"""The held-out slides of a run: looked at again and again, the best look remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from deeplab.bundles.card import Card
from deeplab.bundles.load import load_bundle
from deeplab.config.train_request import TrainRequest
from deeplab.data.truth import AnnotatedSlide
from deeplab.evaluation.tally import Tally
from deeplab.training.reporting.tensorboard import EventLog
from deeplab.training.validation.results import Validation
from deeplab.training.validation.tiles import judged_px
from deeplab.training.validation.validate import Validator


class HeldOut:
    """Says how good a model is that is still learning.

    Args:
        request: how often it is asked, and the seed of what is drawn.
        slides: at least one.
        card: how the model is to be used.
        model: gives the network to be judged, always the same one, with its weights of now.
        events: shown examples.
    """

    def __init__(
        self,
        *,
        request: TrainRequest,
        slides: Sequence[AnnotatedSlide],
        card: Card,
        model: Callable[[], keras.Model],
        events: EventLog,
    ) -> None:
        self._request, self._card, self._model, self._events = request, card, model, events
        self._slides = {slide.name: slide for slide in slides}
        self._look = self._validator(model())
        self._best: Validation | None = None
        self._last: Validation | None = None

    def __call__(self, step: int) -> Tally:
        """Return the tally of all that is judged, after so many steps."""
        self._model()  # brings its weights up to date
        found = self._look(step)
        self._events.add_examples(found, self._slides)
        self._last = found
        if self._best is None or found.score > self._best.score:
            self._best = found
        return found.pooled

    def of_step(self, step: int, bundle: Path) -> Validation:
        """Return what was found after a step; looked at again where this run has not seen it.

        Args:
            step: of the model that is kept.
            bundle: that model.
        """
        for found in (self._best, self._last):
            if found and found.step == step:
                return found
        return self._validator(load_bundle(bundle).network)(step)

    def _validator(self, network: keras.Model) -> Validator:
        most_px = judged_px(
            self._card,
            every_steps=self._request.validate_every,
            batch_size=self._request.batch_size,
            slides=len(self._slides),
        )
        return Validator(
            network=network,
            card=self._card,
            slides=list(self._slides.values()),
            most_px=most_px,
            seed=self._request.seed,
        )
