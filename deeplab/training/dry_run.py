"""What a training would learn from, and by which plan, told without training."""

from __future__ import annotations

from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.data.opening import count_slides
from deeplab.training.plan import plan_of
from deeplab.training.planning import plan_training


def look(request: TrainRequest, progress: Progress) -> str:
    """Return the census of the slides of `request`, and its plan where one is asked for.

    Nothing is written, and no network is loaded.

    Raises:
        TrainingError: there is nothing to learn from.
        ConfigError, SlideError, AnnotationError, ServerError: as reading them does.
    """
    asked = plan_training(request, progress) if request.hours else request
    plan = plan_of(asked)
    # Which slides can be used depends on the scale that was chosen.
    lines = [count_slides(asked, progress).text(), *(["", *plan.lines()] if plan else ())]
    return "\n".join(lines)
