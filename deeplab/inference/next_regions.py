"""Where to annotate next: the squares in which a model is least sure, and those least like others.

By least confidence (Settles, Active learning literature survey, 2009, section 3.1): the mean
probability of the likeliest label over all that the model saw of a square. And by appearance: how
many standard deviations the stain of a square's tissue is from that of the slides that the model
learnt from, which its confidence does not tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Layer, Property, Shape
from deeplab.bundles.learnt_appearance import LearntAppearance
from deeplab.config.requests import LEAST_NEXT_REGION_UM
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.inference.cell_means import CellMeans
from deeplab.inference.likeness import Likeness, farthest, in_words
from deeplab.inference.plan import Area
from deeplab.slides.appearance import Features, StainMap, features_of

LAYER = "annotate next"
COLOUR = (255, 214, 0)
CELLS = 8  # along the side of a square: it may begin at each of them
USUAL_SIDE = 256  # work pixels of a square: it has as much as a person outlines at a sitting
LEAST_SEEN = 0.5  # share of a square that the model has to have seen, or that has to be tissue

Choice = Literal["unsure", "unlike"]


@dataclass(frozen=True, slots=True)
class NextRegion:
    """A square that is worth annotating.

    Attributes:
        box: work pixels.
        confidence: how sure the model is in it, 0 to 1.
        choice: why it is.
        distances: float64 (3,), of its stain from what the model learnt from, in standard
            deviations, in the order of FEATURES; None where nobody knows.
    """

    box: WorkBox
    confidence: float
    choice: Choice = "unsure"
    distances: Features | None = None

    @property
    def reason(self) -> str:
        """Why it is worth annotating, for a person."""
        if self.choice == "unlike" and self.distances is not None:
            feature, distance = farthest(self.distances)
            word = in_words(feature, distance)
            return (
                f"least like the slides of the training: its stain is {word} than their mean "
                f"by {abs(distance):.1f} standard deviations"
            )
        return f"the model is unsure: mean confidence {self.confidence:.2f}"


def usual_side(work_mpp: float) -> float:
    """Return the side of a square, um, where nothing else is asked for."""
    return max(LEAST_NEXT_REGION_UM, USUAL_SIDE * work_mpp)


class ConfidenceGrid:
    """Collects how sure a model is, tile by tile.

    Args:
        frame: of the boxes that are added.
        side_um: of the squares to find.
    """

    def __init__(self, frame: WorkFrame, side_um: float) -> None:
        self._frame = frame
        self._means = CellMeans(frame, side_um / CELLS, 1)

    def add(self, confidence: NDArray[np.float32], stride: int, box: WorkBox) -> None:
        """Add confidence (rows, columns), 0 to 1, at every `stride`-th pixel of `box`."""
        self._means.add(confidence[..., None], stride, box)

    def choose(self, count: int, area: Area, likeness: Likeness | None = None) -> list[NextRegion]:
        """Return up to so many squares whose middle lies in the area.

        Those in which the model is least sure and those least like what it learnt from take turns,
        the former first; where likeness is not known, all are of the former. They do not overlap;
        of equals the uppermost, then the leftmost is first. On a slide that is smaller than a
        square they are as large as the slide.
        """
        rows, columns = (min(CELLS, side) for side in self._means.counts.shape)
        seen = _window_sums(self._means.counts.astype(np.float64), rows, columns)
        sums = _window_sums(self._means.sums[..., 0].astype(np.float64), rows, columns)
        cell = self._means.cell_work
        y, x = (
            (np.arange(places) + side / 2) * cell
            for places, side in zip(seen.shape, (rows, columns), strict=True)
        )
        held = area.holds(*(each.ravel() for each in np.meshgrid(x, y))).reshape(seen.shape)
        enough = seen >= LEAST_SEEN * rows * columns * self._means.counts.max()
        mean = np.where(held & enough & (seen > 0), sums / np.maximum(seen, 1), np.inf)
        least: dict[Choice, NDArray[np.float64]] = {"unsure": mean}
        distances = None
        if likeness and likeness.stain and likeness.learnt:
            distances = self._distances(likeness.stain, likeness.learnt, (rows, columns))
            likest = -np.abs(distances).max(axis=-1)
            least["unlike"] = np.where(np.isfinite(mean) & ~np.isnan(likest), likest, np.inf)
        chosen: list[NextRegion] = []
        for choice, (row, column) in _in_turn(least, count, (rows, columns)):
            left, top = round(column * cell), round(row * cell)
            box = WorkBox(left, top, round(columns * cell), round(rows * cell))
            chosen.append(
                NextRegion(
                    box.intersection(self._frame.box),
                    float(sums[row, column] / seen[row, column]),
                    choice,
                    None if distances is None else distances[row, column],
                )
            )
        return chosen

    def _distances(
        self, stain: StainMap, learnt: LearntAppearance, window: tuple[int, int]
    ) -> Features:
        """Return how far the tissue of each window is from what was learnt, (h, w, 3).

        NaN where less of it is tissue than has to be.
        """
        tissue, density = self._cell_stain(stain)
        counts = _window_sums(tissue, *window)
        sums = np.stack(
            [_window_sums(channel, *window) for channel in np.moveaxis(density, -1, 0)], axis=-1
        )
        means = sums / np.maximum(counts, np.finfo(np.float64).tiny)[..., None]
        means[counts < LEAST_SEEN * window[0] * window[1]] = 0
        return learnt.distances(features_of(means))

    def _cell_stain(self, stain: StainMap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the share of tissue of each cell (rows, columns) and its density (..., 3).

        A cell is looked at in a grid of points, each that of the pixel of the map where it lies.
        """
        points = math.ceil(self._means.cell_work * self._frame.work_mpp / stain.frame.work_mpp)
        along = [
            (np.arange(cells * points) + 0.5) / points * self._means.cell_work
            for cells in self._means.counts.shape
        ]
        scales = (
            (self._frame.scale_y, stain.frame.scale_y, stain.frame.height),
            (self._frame.scale_x, stain.frame.scale_x, stain.frame.width),
        )
        places = np.ix_(
            *(
                np.minimum(at * work / seen, size - 1).astype(np.intp)
                for at, (work, seen, size) in zip(along, scales, strict=True)
            )
        )
        rows, columns = self._means.counts.shape
        cells = (rows, points, columns, points)
        tissue = stain.tissue[places].reshape(cells).mean(axis=(1, 3))
        density = stain.density[places].reshape(*cells, 3).mean(axis=(1, 3))
        return tissue, density.astype(np.float64)


def next_layer(regions: Sequence[NextRegion], frame: WorkFrame) -> Layer:
    """Return the squares as a layer, numbered by their `rank`; level-0 pixels."""
    shapes = []
    for rank, region in enumerate(regions, start=1):
        part = frame.to_level0(region.box)
        square = shapely.box(part.x0, part.y0, part.x0 + part.width, part.y0 + part.height)
        shapes.append(Shape(square, {"rank": rank, **_properties(region)}))
    unsure = [region.confidence for region in regions if region.choice == "unsure"]
    told = [f"where the model is least sure: mean confidence {unsure[0]:.2f} to {unsure[-1]:.2f}"]
    if count := len(regions) - len(unsure):
        told.append(f"and {count} where the stain is least like that of the training")
    return Layer(
        LAYER,
        COLOUR,
        tuple(shapes),
        f"{', '.join(told)}; each square has its reason. Outline all that is "
        "there, and let the next training know this layer as that of finished regions",
        is_tinted=False,  # the colours of the tissue are to be judged there
    )


def _properties(region: NextRegion) -> Mapping[str, Property]:
    properties: dict[str, Property] = {
        "confidence": round(region.confidence, 4),
        "reason": region.reason,
    }
    if region.distances is not None and np.isfinite(region.distances).all():
        _, distance = farthest(region.distances)
        properties["unlike"] = round(abs(distance), 2)
    return properties


def _in_turn(
    least: Mapping[Choice, NDArray[np.float64]], count: int, window: tuple[int, int]
) -> list[tuple[Choice, tuple[int, int]]]:
    """Return the places of the least values of several maps (h, w) in turn, their windows apart.

    A map that has none left, or only infinite ones, is passed over.
    """
    rows, columns = window
    chosen: list[tuple[Choice, tuple[int, int]]] = []
    maps = {choice: values.copy() for choice, values in least.items()}
    while maps and len(chosen) < count:
        for choice, values in [*maps.items()]:
            place = np.unravel_index(np.argmin(values), values.shape)
            row, column = (int(index) for index in place)
            if not np.isfinite(values[row, column]):
                del maps[choice]
            elif len(chosen) < count:
                chosen.append((choice, (row, column)))
                for each in maps.values():
                    each[
                        max(0, row - rows + 1) : row + rows,
                        max(0, column - columns + 1) : column + columns,
                    ] = np.inf
    return chosen


def _window_sums(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Return the sums of all windows (rows, columns) of a map (h, w), by their first cell."""
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    below, above = total[rows:], total[:-rows]
    sums: NDArray[np.float64] = (below - above)[:, columns:] - (below - above)[:, :-columns]
    return sums
