"""What a report is made from: plain values, so that a benchmark can make one, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deeplab.config.classes import ClassList
from deeplab.config.families import Task
from deeplab.training.history import History
from deeplab.training.plan import TrainingPlan
from deeplab.training.reporting.examples import Example
from deeplab.training.validation.results import Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideFact:
    """A slide of the training.

    Attributes:
        name: what the user knows it by.
        patient: "" where it is not known.
        side: of the split.
        mpp: um per level-0 pixel.
        objects: drawn, of classes 1, 2, ...
        area_mm2: of these.
    """

    name: str
    patient: str
    side: Literal["train", "validation"]
    mpp: float
    objects: tuple[int, ...]
    area_mm2: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMethod:
    """What another method reached on the same held-out slides.

    Attributes:
        name: as "logistic regression on blurred colour".
        mean_iou: over the labels that occur.
        dice: of classes 1, 2, ...
    """

    name: str
    mean_iou: float
    dice: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReportFacts:
    """Everything that a report says.

    Attributes:
        model: name of the model's file.
        classes: 1, 2, ...
        work_mpp: um per pixel at which the model works.
        task: that uses the model.
        mpp_range: least and greatest at which it may be run.
        source: where the slides were found.
        slides: that were learnt from or held out.
        left_out: slides that were found and not used, and why.
        set_aside: slides that turned unreadable during the training, and why.
        background_assumed: tissue that nobody drew on counts as background.
        history: of the training.
        planned_steps: that were asked for.
        kept: whether the model is that of the best validation or of the last step.
        kept_step: the step whose weights the model has.
        validation: of the model that is kept; None: no slide was held out.
        examples: regions of the held-out slides.
        comparisons: other methods on the same slides.
        gain: over the same training without its companion, in words; "": that was not asked for.
        settings: what was asked for, in words, under headings.
        plan: by which settings were chosen; None: there was none.
        all_settings: every setting and its value.
        versions: of the programs.
        seed: of all that was drawn at random.
        first_step: at which the training was last taken up; 0: it went through in one go.
        seconds: it took from there; 0: not known.
        patches_per_s: that it learnt from, in its middle step; 0: not known.
        peak_memory_gb: the most that its process held, by where it lay.
        finished: when, for a person.
    """

    model: str
    classes: ClassList
    work_mpp: float
    task: Task = "segment"
    mpp_range: tuple[float, float] | None = None
    source: str = ""
    slides: tuple[SlideFact, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    set_aside: Mapping[str, str] = field(default_factory=dict)
    background_assumed: bool = True
    history: History = field(default_factory=History)
    planned_steps: int = 0
    kept: Literal["best", "last"] = "best"
    kept_step: int = 0
    validation: Validation | None = None
    examples: tuple[Example, ...] = ()
    comparisons: tuple[OtherMethod, ...] = ()
    gain: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    plan: TrainingPlan | None = None
    all_settings: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    first_step: int = 0
    seconds: float = 0.0
    patches_per_s: float = 0.0
    peak_memory_gb: Mapping[str, float] = field(default_factory=dict)
    finished: str = ""

    def on(self, side: Literal["train", "validation"]) -> tuple[SlideFact, ...]:
        """Return the slides of one side of the split."""
        return tuple(slide for slide in self.slides if slide.side == side)


def patients(slides: tuple[SlideFact, ...]) -> int:
    """Number of patients; a slide whose patient is not known counts as one."""
    return len({slide.patient or f"slide {slide.name}" for slide in slides})
