"""How the slides look that a model learnt from, kept in its card, and how far others are off."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.card import MADE_OF, Card, Fact
from deeplab.slides.appearance import FEATURES, Appearance, Features

FACT = "appearance"  # what the names of its facts begin with
# Slides of one laboratory differ by as much: by a fifth in density, which follows the thickness of
# a section, and less in colour. The deviation between few slides may be far smaller by chance.
LEAST_DEVIATION = np.array([0.25, 0.07, 0.07])
LIMIT = 3.0  # standard deviations that are still alike


@dataclass(frozen=True, slots=True, kw_only=True)
class LearntAppearance:
    """The features of the slides of a training, each float64 (3,) in the order of FEATURES.

    Attributes:
        slides: that were measured, at least one; some may be counted several times.
        mean: of all slides.
        deviation: between slides; 0 of one slide.
        least: of all slides.
        most: of all slides.
        within: deviation between squares of the same slide; 0 where slides are no larger.
    """

    slides: int
    mean: Features
    deviation: Features
    least: Features
    most: Features
    within: Features

    @classmethod
    def of(cls, slides: Iterable[Appearance | None]) -> Self | None:
        """Return that of the slides that could be measured; None where none could."""
        measured = [slide for slide in slides if slide]
        if not measured:
            return None
        features = np.stack([slide.features for slide in measured])
        within = [slide.within**2 for slide in measured if slide.within is not None]
        return cls(
            slides=len(measured),
            mean=features.mean(axis=0),
            deviation=features.std(axis=0, ddof=1) if len(measured) > 1 else np.zeros(3),
            least=features.min(axis=0),
            most=features.max(axis=0),
            within=np.sqrt(np.mean(within, axis=0)) if within else np.zeros(3),
        )

    def with_more(self, other: Self) -> Self:
        """Return that of both sets of slides together."""
        slides = self.slides + other.slides
        shares = np.array([self.slides, other.slides]) / slides
        mean = shares @ np.stack([self.mean, other.mean])
        squares = sum(
            (each.slides - 1) * each.deviation**2 + each.slides * (each.mean - mean) ** 2
            for each in (self, other)
        )
        return type(self)(
            slides=slides,
            mean=mean,
            deviation=np.sqrt(squares / (slides - 1)),
            least=np.minimum(self.least, other.least),
            most=np.maximum(self.most, other.most),
            within=np.sqrt(shares @ np.stack([self.within, other.within]) ** 2),
        )

    @classmethod
    def from_card(cls, card: Card) -> Self | None:
        """Return what a card says of it; None where it says nothing that can be used."""
        facts = card.training
        slides = facts.get(f"{FACT} slides")
        columns = {
            column: [facts.get(_name(feature, column)) for feature in FEATURES]
            for column in ("mean", "deviation", "least", "most", "within")
        }
        every = [slides, *(value for column in columns.values() for value in column)]
        if not all(_is_number(value) for value in every) or int(slides) < 1:  # type: ignore[arg-type]
            return None
        arrays = {name: np.array(values, np.float64) for name, values in columns.items()}
        return cls(slides=int(slides), **arrays)  # type: ignore[arg-type]

    def facts(self) -> dict[str, Fact]:
        """Return it as facts of a training, plain numbers each, that `from_card` reads."""
        facts: dict[str, Fact] = {f"{FACT} slides": self.slides}
        for index, feature in enumerate(FEATURES):
            for column in ("mean", "deviation", "least", "most", "within"):
                facts[_name(feature, column)] = round(float(getattr(self, column)[index]), 5)
        return facts

    def distances(self, features: Features, squares: float = 1.0) -> NDArray[np.float64]:
        """Return how many standard deviations features (..., 3) are from the mean, with their sign.

        Args:
            features: of a slide, or of part of one.
            squares: of tissue that they are of; the tissue of a small part differs by itself.
        """
        between = np.maximum(self.deviation, LEAST_DEVIATION)
        # The mean of few slides is not known better than by a deviation over the root of them.
        variance = between**2 * (1 + 1 / self.slides) + self.within**2 / max(squares, 1.0)
        distances: NDArray[np.float64] = (features - self.mean) / np.sqrt(variance)
        return distances

    def unlike(self, slide: Appearance) -> dict[str, float]:
        """Return the distance of each feature in which a slide is unlike all slides of a training.

        It is beyond each of them, and farther than `LIMIT` from their mean.
        """
        distances = self.distances(slide.features, slide.squares)
        beyond = (slide.features < self.least) | (slide.features > self.most)
        return {
            name: float(distance)
            for name, distance, is_beyond in zip(FEATURES, distances, beyond, strict=True)
            if is_beyond and abs(distance) > LIMIT
        }


def appearance_facts(parts: Sequence[LearntAppearance | None]) -> dict[str, Fact]:
    """Return the facts of a model that learnt from all parts; none where one is not known."""
    known = [part for part in parts if part]
    if not known or len(known) < len(parts):
        return {}
    together = known[0]
    for more in known[1:]:
        together = together.with_more(more)
    return together.facts()


def facts_to_tell(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return facts of a training for a summary: not the ids of slides, nor digests and looks."""
    return {
        name: value
        for name, value in facts.items()
        if name not in MADE_OF and not name.startswith(f"{FACT} ")
    }


def _name(feature: str, column: str) -> str:
    return f"{FACT} {feature} {column}"


def _is_number(value: Fact) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
