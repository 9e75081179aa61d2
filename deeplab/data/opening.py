"""Open the slides of a training, each on its side of the split."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from deeplab.config.classes import ClassList
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.samples import find_samples, split_samples
from deeplab.data.truth import AnnotatedSlide, classes_of, open_annotated
from deeplab.server.session import ServerLogin

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSlides:
    """What a training learns from, what it is checked on, and its classes."""

    learn: list[AnnotatedSlide]
    held_out: list[AnnotatedSlide]
    classes: ClassList


def open_slides(request: TrainRequest, progress: Progress) -> OpenedSlides:
    """Open all slides that `request` names, some of the patients' held out for validation.

    Raises:
        TrainingError: there is nothing to learn from, or not every class is drawn.
        ConfigError, SlideError, AnnotationError, ServerError: as reading them does.
    """
    login = ServerLogin(request.api_url, request.token) if request.api_url else None
    samples = find_samples(request.source, request.classes, login)
    sides = split_samples(samples, request.validation_fraction, request.seed)
    opened: tuple[list[AnnotatedSlide], list[AnnotatedSlide]] = ([], [])
    for side, chosen in zip(opened, sides, strict=True):
        for sample in chosen:
            progress("open slides", sum(map(len, opened)), len(samples))
            slide = open_annotated(
                sample,
                request.classes,
                ignore_class=request.ignore_class,
                slide_mpp=request.slide_mpp,
                login=login,
            )
            side.append(slide)
    progress("open slides", len(samples), len(samples))
    learn, checked = opened
    log.info("%d slides to learn from, %d held out", len(learn), len(checked))
    return OpenedSlides(learn=learn, held_out=checked, classes=classes_of(request.classes, learn))
