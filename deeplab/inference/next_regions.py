"""Where to annotate next: the squares of a slide in which a model is least sure.

By least confidence (Settles, Active learning literature survey, 2009, section 3.1): the mean
probability of the likeliest label over all that the model saw of a square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Layer, Shape
from deeplab.geometry.frames import WorkBox, WorkFrame
from deeplab.inference.cell_means import CellMeans
from deeplab.inference.plan import Area

LAYER = "annotate next"
COLOUR = (255, 214, 0)
CELLS = 8  # along the side of a square: it may begin at each of them
LEAST_SEEN = 0.5  # share of a square that the model has to have seen


@dataclass(frozen=True, slots=True)
class NextRegion:
    """A square that is worth annotating, in work pixels, and how sure the model is in it."""

    box: WorkBox
    confidence: float


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

    def least_sure(self, count: int, area: Area) -> list[NextRegion]:
        """Return up to so many squares whose middle lies in the area, the least sure first.

        They do not overlap; of equals the uppermost, then the leftmost is first. On a slide that is
        smaller than a square they are as large as the slide.
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
        found: list[NextRegion] = []
        while len(found) < count:
            row, column = np.unravel_index(np.argmin(mean), mean.shape)
            if not np.isfinite(mean[row, column]):
                break
            left, top = round(column * cell), round(row * cell)
            box = WorkBox(left, top, round(columns * cell), round(rows * cell))
            confidence = float(mean[row, column])
            found.append(NextRegion(box.intersection(self._frame.box), confidence))
            mean[
                max(0, row - rows + 1) : row + rows, max(0, column - columns + 1) : column + columns
            ] = np.inf
        return found


def next_layer(regions: Sequence[NextRegion], frame: WorkFrame) -> Layer:
    """Return the squares as a layer, numbered by their `rank`; level-0 pixels."""
    shapes = []
    for rank, region in enumerate(regions, start=1):
        part = frame.to_level0(region.box)
        square = shapely.box(part.x0, part.y0, part.x0 + part.width, part.y0 + part.height)
        shapes.append(Shape(square, {"rank": rank, "confidence": round(region.confidence, 4)}))
    least, most = (f"{regions[index].confidence:.2f}" for index in (0, -1))
    return Layer(
        LAYER,
        COLOUR,
        tuple(shapes),
        f"where the model is least sure: mean confidence {least} to {most}. Outline all that is "
        "there, and let the next training know this layer as that of finished regions",
    )


def _window_sums(values: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """Return the sums of all windows (rows, columns) of a map (h, w), by their first cell."""
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    below, above = total[rows:], total[:-rows]
    sums: NDArray[np.float64] = (below - above)[:, columns:] - (below - above)[:, :-columns]
    return sums
