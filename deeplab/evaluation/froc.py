"""Free-response ROC of detections, and the area under the ROC curve of slides.

As CAMELYON16 judged them: Ehteshami Bejnordi et al. 2017, JAMA 318:2199. A lesion counts with its
most confident detection; isolated tumour cells are neither to be found nor wrong where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.stats import rankdata

from deeplab.evaluation.lesions import Lesion

Floats = NDArray[np.float64]
FALSE_POSITIVES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # a slide, at which sensitivity is read


@dataclass(frozen=True, slots=True)
class SlideDetections:
    """What detections found and missed on one slide.

    Attributes:
        found: confidence with which each lesion that counts was found, -inf: it was not.
        false: confidences of the detections that are on no lesion.
        score: the greatest confidence of all; 0 without any.
        has_lesion: whether there is a metastasis, of isolated tumour cells or larger.
    """

    found: tuple[float, ...]
    false: tuple[float, ...]
    score: float
    has_lesion: bool

    @classmethod
    def of(
        cls, points_um: Floats, confidences: Floats, lesions: Sequence[Lesion], reach_um: float
    ) -> Self:
        """Hold detections against lesions.

        Args:
            points_um: (n, 2) x and y, um from the slide's top left corner.
            confidences: (n,).
            lesions: all of the slide.
            reach_um: how far beside a lesion a detection is on it.
        """
        points = shapely.points(points_um.reshape(-1, 2))
        is_false = np.ones(len(points), np.bool_)
        found = []
        for lesion in lesions:
            on_it = shapely.dwithin(lesion.filled, points, reach_um)
            is_false &= ~on_it
            if lesion.category != "itc":
                found.append(float(confidences[on_it].max(initial=-np.inf)))
        score = float(confidences.max(initial=0.0))
        return cls(tuple(found), tuple(confidences[is_false].tolist()), score, bool(lesions))


@dataclass(frozen=True, slots=True)
class Froc:
    """The curve, from no detection to all.

    Attributes:
        thresholds: (n,) confidence from which detections count, falling; the first is infinite.
        false_positives: (n,) a slide.
        sensitivity: (n,) share of the lesions that are found.
    """

    thresholds: Floats
    false_positives: Floats
    sensitivity: Floats

    @classmethod
    def of(cls, slides: Sequence[SlideDetections]) -> Self:
        """Return the curve of some slides, of which some lesion counts; else it is NaN."""
        found = np.array([value for slide in slides for value in slide.found])
        false = np.array([value for slide in slides for value in slide.false])
        levels = np.unique(np.concatenate([found[np.isfinite(found)], false]))
        thresholds = np.concatenate([[np.inf], levels[::-1]])
        hits, wrong = (_at_least(values, thresholds) for values in (found, false))
        lesions = len(found) or np.nan
        return cls(thresholds, wrong / max(len(slides), 1), hits / lesions)

    def at(self, false_positives: float) -> float:
        """Return the sensitivity at so many false positives a slide, between points by a line."""
        return float(np.interp(false_positives, self.false_positives, self.sensitivity))

    @property
    def score(self) -> float:
        """Mean sensitivity at a quarter to eight false positives a slide."""
        return float(np.mean([self.at(each) for each in FALSE_POSITIVES]))


def slide_auc(slides: Sequence[SlideDetections]) -> float:
    """Return how often a slide with a metastasis has a higher score than one without.

    Equal scores count half (Mann and Whitney 1947). NaN where there are slides of one kind only.
    """
    positive = np.array([slide.has_lesion for slide in slides], np.bool_)
    wins = int(positive.sum()) * int((~positive).sum())
    if not wins:
        return float("nan")
    ranks = rankdata([slide.score for slide in slides])
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / wins)


def _at_least(values: Floats, thresholds: Floats) -> Floats:
    """Return how many values reach each threshold, (thresholds,)."""
    return (len(values) - np.searchsorted(np.sort(values), thresholds, side="left")).astype(float)
