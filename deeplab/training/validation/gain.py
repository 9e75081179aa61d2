"""What one training is better by than another, judged on the same patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deeplab.evaluation.tally import Tally
from deeplab.training.validation.results import DRAWS, middle_of, spread

LEAST_PATIENTS = 3  # of fewer no draw says anything


def by_patient(tallies: Mapping[str, Tally], patients: Mapping[str, str]) -> dict[str, Tally]:
    """Return the tallies of slides added up by patient; a slide of an unknown one is one.

    Args:
        tallies: by slide.
        patients: by slide, "" where it is not known.
    """
    found: dict[str, Tally] = {}
    for slide, tally in tallies.items():
        patient = patients.get(slide) or f"slide {slide}"
        found[patient] = found[patient] + tally if patient in found else tally
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientFigures:
    """How good models are on patients that they have not learnt from.

    Attributes:
        tallies: of each patient.
        seed: of the draws.
    """

    tallies: Mapping[str, Tally]
    seed: int

    @property
    def pooled(self) -> Tally:
        """All patients together, at least one."""
        first, *others = self.tallies.values()
        return sum(others, start=first)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The score's in 95 of 100 draws of as many patients; None of fewer than three."""
        return spread(list(self.tallies.values()), self.seed)

    def bounds_of(self, name: str, place: int) -> tuple[float, float] | None:
        """Return likewise those of one of `Tally.usual_figures`, of one class of all."""

        def figure(tally: Tally) -> float:
            return float(tally.usual_figures[name][place])

        return spread(list(self.tallies.values()), self.seed, figure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The score of one training less that of another on the same patients.

    Attributes:
        name: of the score.
        score: of the one.
        other: of the other.
        bounds: of the difference in 95 of 100 draws of the patients; None of fewer than three.
    """

    name: str
    score: float
    other: float
    bounds: tuple[float, float] | None

    @classmethod
    def of(cls, one: PatientFigures, other: PatientFigures) -> Self:
        """Return the gain of one over the other; both have the same patients."""
        return cls(
            name=one.pooled.score_name,
            score=one.pooled.score,
            other=other.pooled.score,
            bounds=_bounds(one, other),
        )

    def sentence(self) -> str:
        """Say it in words."""
        said = (
            f"{self.name} is {self.score:.4f} with the companion and {self.other:.4f} without: "
            f"{self.score - self.other:+.4f}"
        )
        if self.bounds is None:
            return said + "; too few patients to say how sure that is"
        low, high = self.bounds
        return said + f" ({low:+.4f} to {high:+.4f} in 95 of 100 draws of the patients)"


def _bounds(one: PatientFigures, other: PatientFigures) -> tuple[float, float] | None:
    """Return the bounds of the difference, both judged on the same draws of patients."""
    patients = [patient for patient in one.tallies if patient in other.tallies]
    if len(patients) < LEAST_PATIENTS:
        return None
    random = np.random.default_rng([one.seed, 3])
    drawn = random.integers(len(patients), size=(DRAWS, len(patients)))

    def scores(figures: PatientFigures) -> NDArray[np.float64]:
        tallies = [figures.tallies[patient] for patient in patients]
        counts = np.stack([tally.counts for tally in tallies])
        return np.array([tallies[0].of(counts[some].sum(axis=0)).score for some in drawn])

    return middle_of(scores(one) - scores(other))
