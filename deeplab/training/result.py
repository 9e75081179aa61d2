"""What a training came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deeplab.config.from_labels_request import FromLabelsRequest
from deeplab.config.progress import Progress
from deeplab.config.train_request import TrainRequest
from deeplab.evaluation.tally import Tally
from deeplab.training.validation.gain import PatientFigures, by_patient


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training came to.

    Attributes:
        model: the bundle.
        steps: taken, those of the runs before this one included.
        loss: mean of the last ones.
        metrics: of the model on the held-out slides; empty where none was held out.
        set_aside: slides that could not be read to the end.
        worker: which of several machines says this; only the first one writes.
        tallies: of the model on each held-out slide.
        patients: of these slides, "" where it is not known.
        slides: digest of all slides and of what is drawn on them.
        gain: over the same training without its companion, in words; "": that was not asked for.
    """

    model: Path
    steps: int
    loss: float
    metrics: Mapping[str, float]
    set_aside: tuple[str, ...]
    worker: int
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)
    slides: str = ""
    gain: str = ""

    def figures(self, seed: int) -> PatientFigures:
        """Return how good the model is, by patient."""
        return PatientFigures(tallies=by_patient(self.tallies, self.patients), seed=seed)

    def summary(self) -> str:
        """Return a few lines for a person."""
        if self.worker:
            return f"worker {self.worker} is done; the model was written by worker 0"
        lines = [f"model {self.model} after {self.steps} steps, loss {self.loss:.4f}"]
        lines += [f"  {name}: {value:.4f}" for name, value in self.metrics.items()]
        if self.gain:
            lines.append(f"  {self.gain}")
        if self.set_aside:
            lines.append("set aside, for they could not be read: " + ", ".join(self.set_aside))
        return "\n".join(lines)


class TrainOnce(Protocol):
    """One training, from its slides to its model and report."""

    def __call__(
        self,
        request: TrainRequest,
        progress: Progress,
        *,
        without: TrainResult | None = ...,
        expected: str = ...,
        whole: FromLabelsRequest | None = ...,
    ) -> TrainResult:
        """Train.

        Args:
            request: what is asked for.
            progress: is told of every step.
            without: what the same training came to without its companion.
            expected: digest that the slides must have; "": any.
            whole: what this is a stage of: its server takes the checkpoints, and in its work folder
                lies what is learnt from.
        """
