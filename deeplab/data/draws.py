"""Draws of what a patch is to show: a class, a slide that has it, an object, a point in the object.

Everything that can be counted is counted once, so that a draw takes the same few microseconds on
one slide and on hundreds with a hundred thousand shapes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Area
from deeplab.config.train_request import Balance, PatchSettings
from deeplab.data.mining import Place
from deeplab.data.truth import AnnotatedSlide
from deeplab.errors import ConfigError

JITTER = 0.35  # of the side of what is answered: how far from the middle a place may lie
TRIES = 20  # draws of a point before one is looked for in another way


class CategoricalSampler:
    """Draws numbers from 0 on, each as often as its share says."""

    def __init__(self, shares: NDArray[np.float64]) -> None:
        self._ends = np.cumsum(shares)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self._ends.size or self._ends[-1] <= 0

    def draw(self, random: np.random.Generator) -> int:
        """Return a number that has a share."""
        return int(np.searchsorted(self._ends, random.random() * self._ends[-1], side="right"))


class Cells:
    """The true cells of a mask, each drawn as often; of each, one bit is kept."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        per_row = np.count_nonzero(mask, axis=1)
        self.count = int(per_row.sum())
        self._rows, self._bits = (
            CategoricalSampler(per_row.astype(np.float64)),
            np.packbits(mask, axis=1),
        )

    def draw(self, random: np.random.Generator) -> tuple[int, int]:
        """Row and column of a cell."""
        row = self._rows.draw(random)
        columns = np.flatnonzero(np.unpackbits(self._bits[row]))
        return row, int(columns[random.integers(len(columns))])


class SlidePlaces:
    """The points of one slide: of its objects, and of its background as far as that is known.

    Attributes:
        area_um2: of each label that can be drawn here; the background's is that on tissue.
    """

    def __init__(self, slide: AnnotatedSlide, label_count: int, balance: Balance) -> None:
        self._width, self._height = slide.slide.width_level0, slide.slide.height_level0
        self._seen = slide.tissue.frame
        self._polygons: dict[int, NDArray[np.object_]] = {}
        self._objects: dict[int, CategoricalSampler] = {}
        self.area_um2: dict[int, float] = {}
        empty = slide.labels(self._seen, self._seen.box) == 0
        on_tissue = empty & slide.tissue.mask
        self._anywhere = Cells(empty)
        self._on_tissue = Cells(on_tissue if on_tissue.any() else empty)
        if self._on_tissue.count:
            self.area_um2[0] = self._on_tissue.count * self._seen.work_mpp**2
        for label in range(1, label_count):
            polygons = np.asarray(slide.shapes_of(label), object)
            if polygons.size:
                areas = shapely.area(polygons)
                self.area_um2[label] = float(areas.sum()) * self._seen.um2_per_level0_pixel
                self._polygons[label] = polygons
                self._objects[label] = CategoricalSampler(
                    areas if balance == "area" else np.ones(len(areas))
                )

    def object_point(self, label: int, random: np.random.Generator) -> tuple[float, float]:
        """Return a point in an object of a class, (x, y) in level-0 pixels."""
        return point_in(self._polygons[label][self._objects[label].draw(random)], random)

    def background_point(self, anywhere: float, random: np.random.Generator) -> tuple[float, float]:
        """Return a point in a cell whose middle is background, (x, y) in level-0 pixels.

        It is on tissue where there is such, or with the probability `anywhere` on tissue or glass.
        """
        cells = self._anywhere if random.random() < anywhere else self._on_tissue
        row, column = cells.draw(random)
        x0 = (column + random.random()) * self._seen.scale_x
        y0 = (row + random.random()) * self._seen.scale_y
        # The last cells stand over the slide's edge.
        return min(x0, self._width - 0.5), min(y0, self._height - 0.5)


class PlaceSampler:
    """Places on some slides, drawn by the shares and balances of the settings.

    Args:
        slides: by their numbers.
        label_count: the background included.
        settings: shares and balances.

    Raises:
        ConfigError: the shares are not one for each label, or all those are 0 that can be drawn.
    """

    jitter = JITTER
    least_spread = 0.0

    def __init__(
        self, slides: Mapping[int, SlidePlaces], label_count: int, settings: PatchSettings
    ) -> None:
        self._slides, self._anywhere = slides, settings.include_background_prob
        self._holders: dict[int, NDArray[np.int64]] = {}
        self._urns: dict[int, CategoricalSampler] = {}
        wanted = settings.class_shares or (1.0,) * label_count
        if len(wanted) != label_count:
            must = f"{label_count} numbers: of the background, then of each class"
            raise ConfigError("class_shares", wanted, must)
        shares = np.asarray(wanted, np.float64)
        for label in range(label_count):
            areas = {number: s.area_um2.get(label) for number, s in slides.items()}
            held = {number: area for number, area in areas.items() if area is not None}
            self._holders[label] = np.array(list(held), np.int64)
            by_area = settings.slide_balance == "area" and sum(held.values()) > 0
            self._urns[label] = CategoricalSampler(
                np.array([v if by_area else 1.0 for v in held.values()])
            )
            shares[label] *= bool(held)
        self._labels = CategoricalSampler(shares)
        if self._labels.is_empty:
            raise ConfigError("class_shares", wanted, "above 0 for a class that some slide has")

    def place(self, number: int, random: np.random.Generator) -> Place:
        """Return a place where something lies that was drawn by lot, whatever the number."""
        label = self._labels.draw(random)
        number = int(self._holders[label][self._urns[label].draw(random)])
        slide = self._slides[number]
        if label:
            return Place(number, *slide.object_point(label, random))
        return Place(number, *slide.background_point(self._anywhere, random))


def point_in(polygon: Area, random: np.random.Generator) -> tuple[float, float]:
    """Return a random point inside a polygon, (x, y)."""
    left, top, right, bottom = polygon.bounds
    x = left + (right - left) * random.random(TRIES)
    y = top + (bottom - top) * random.random(TRIES)
    inside = np.flatnonzero(shapely.contains_xy(polygon, x, y))
    if inside.size:
        return float(x[inside[0]]), float(y[inside[0]])
    # So thin that no draw hit it: a point on one of its chords.
    level = shapely.LineString([(left - 1, y[0]), (right + 1, y[0])])
    chords = shapely.get_parts(polygon.intersection(level))
    lengths = shapely.length(chords)
    if lengths.sum() > 0:
        chord = chords[CategoricalSampler(lengths).draw(random)]
        point = chord.interpolate(random.random(), normalized=True)
    else:
        point = polygon.representative_point()
    return float(point.x), float(point.y)
