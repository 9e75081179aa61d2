"""What a training would learn from, told without training."""

from __future__ import annotations

from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.census import Census
from deeplab.data.opening import count_slides


def look(request: TrainRequest, progress: Progress) -> Census:
    """Return the census of the slides of `request`; nothing is written, and no network is loaded.

    Raises:
        TrainingError: there is nothing to learn from.
        ConfigError, SlideError, AnnotationError, ServerError: as reading them does.
    """
    return count_slides(request, progress)
