"""Whether a slide looks as those that a model learnt from, and where it does least."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Self

import numpy as np

from deeplab.bundles.card import Card
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.report.words import listed
from deeplab.slides.appearance import (
    FEATURES,
    SQUARE_UM,
    Features,
    StainMap,
    map_stain,
    measure_appearance,
)
from deeplab.slides.slide import Slide
from deeplab.slides.tissue import Thumbnail

log = logging.getLogger(__name__)

# How a slide with less or more of each feature is called. More light of a colour is taken away
# where its chroma is high: of red the slide is then bluer.
WORDS = {
    "density": ("paler", "darker"),
    "red chroma": ("redder", "bluer"),
    "green chroma": ("browner", "more purple"),
}
ADVICE = "look at its results before you trust them"


@dataclass(frozen=True, slots=True)
class Likeness:
    """A slide beside those that a model learnt from.

    Attributes:
        unlike: what is unlike and what that means, in words; "": it is alike, or nobody knows.
        learnt: how those slides look; None where the card does not say.
        stain: of this slide; None where nothing tells its tissue from glass.
    """

    unlike: str = ""
    learnt: LearntAppearance | None = None
    stain: StainMap | None = None

    @property
    def remark(self) -> str:
        """The same with a capital and a full stop, or ""."""
        return f"{self.unlike[0].upper()}{self.unlike[1:]}." if self.unlike else ""

    @classmethod
    def of(cls, slide: Slide, thumbnail: Thumbnail | None, card: Card) -> Self:
        """Compare the thumbnail of a slide with what a card says, and warn where it is unlike.

        Nothing is known without a thumbnail.
        """
        learnt = LearntAppearance.from_card(card)
        if thumbnail is None or learnt is None:
            return cls()
        stain = map_stain(thumbnail)
        unlike = _sentence(thumbnail, stain, learnt)
        if unlike:
            log.warning("%s: %s", slide.name, unlike)
        return cls(unlike, learnt, stain)


def _sentence(thumbnail: Thumbnail, stain: StainMap | None, learnt: LearntAppearance) -> str:
    appearance = measure_appearance(stain)
    if appearance is None:
        frame = thumbnail.frame
        if frame.width * frame.height * frame.work_mpp**2 < SQUARE_UM**2:
            return ""  # a patch may well be of glass
        return f"no stained tissue can be told from glass on this slide: {ADVICE}"
    distances = learnt.unlike(appearance)
    if not distances:
        return ""
    words = listed([in_words(name, distance) for name, distance in distances.items()])
    learnt_from = "that of any slide that the model was trained on"
    return f"the stain of this slide is {words} than {learnt_from}: {ADVICE}"


def in_words(feature: str, distance: float) -> str:
    """Return how something is called that has less or more of a feature, as "paler"."""
    less, more = WORDS[feature]
    return less if distance < 0 else more


def farthest(distances: Features) -> tuple[str, float]:
    """Return the feature in which something is the least alike, and its distance with its sign.

    Args:
        distances: float64 (3,), in standard deviations.
    """
    index = int(np.argmax(np.abs(distances)))
    return FEATURES[index], float(distances[index])
