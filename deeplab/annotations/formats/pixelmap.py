"""Pixelmaps of HistomicsUI: pictures whose pixels are numbers of regions, each of a category."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import affine_transform

from deeplab.annotations.formats.format import FindLabelImage
from deeplab.annotations.formats.gather import LayerGatherer, browser_colour, number
from deeplab.annotations.formats.mask_tiff import open_mask_tiff
from deeplab.annotations.raster.rasterize import Labels
from deeplab.annotations.trace.outlines import SeamTracer
from deeplab.config.classes import Rgb
from deeplab.errors import AnnotationError
from deeplab.geometry.frames import WorkFrame

PIXELMAP = "pixelmap"  # the type of its element
MOST_CATEGORIES = 255  # that are shown
CLEAR = re.compile(r"rgba\(.*,\s*0*\.?0*%?\s*\)|#[0-9a-f]{3}0|#[0-9a-f]{6}00|transparent")
Json = Mapping[str, Any]
Matrix = tuple[float, float, float, float, float, float]  # a, b, d, e, x, y of shapely.affinity


@dataclass(frozen=True, slots=True)
class Category:
    """What regions of a pixelmap may be."""

    name: str
    colour: Rgb | None


@dataclass(frozen=True, slots=True)
class Pixelmap:
    """What an element says of its label image.

    Attributes:
        shown: the categories that are not wholly transparent.
        label_of: uint8, for each region the place of its category in `shown`, from 1; 0: none.
        doubled: whether a region has two numbers, 2 n for its inside and 2 n + 1 for its edge.
        to_level0: from pixels of the image.
    """

    shown: tuple[Category, ...]
    label_of: Labels
    doubled: bool
    to_level0: Matrix

    @classmethod
    def parse(cls, element: Json, where: str, source: str | Path) -> Self:
        """Return what an element holds.

        Raises:
            AnnotationError: it is no pixelmap.
        """
        given = element.get("categories")
        categories = [_category(each, at) for at, each in enumerate(_listed(given), start=1)]
        kept = [at for at, category in enumerate(categories) if category]
        if len(kept) > MOST_CATEGORIES:
            raise AnnotationError(source, f"{where} has more categories than {MOST_CATEGORIES}")
        labels = np.zeros(len(categories), np.uint8)
        labels[kept] = np.arange(1, len(kept) + 1)
        values = _listed(element.get("values"))
        if not set(map(type, values)) <= {int}:
            raise AnnotationError(source, f"the values of {where} are not whole numbers")
        if values and not (min(values) >= 0 and max(values) < len(categories)):
            raise AnnotationError(
                source, f"{where} has values that are of none of its {len(categories)} categories"
            )
        return cls(
            tuple(category for category in categories if category),
            labels[np.array(values, int)],
            bool(element.get("boundaries")),
            _matrix(element.get("transform"), where, source),
        )

    def layers(
        self, path: Path, spill: Path | None = None
    ) -> Iterator[tuple[Category, shapely.Polygon]]:
        """Yield the outlines in a label image, in level-0 pixels.

        Args:
            path: a TIFF of one channel, or of three: red + 256 green + 65,536 blue is the number.
            spill: a folder to keep outlines in instead of memory.

        Raises:
            AnnotationError: it is none, or is damaged or too large.
        """
        with open_mask_tiff(path, labels_of=self._labels, channels=(1, 3)) as tiff:
            frame = WorkFrame(1.0, 1.0, tiff.size.width, tiff.size.height, 1.0)
            tracer = SeamTracer(frame, frame.box, spill)
            for box, labels in tiff.pieces():
                tracer.add(labels, None, box)
        for traced in tracer.finish():
            outline = affine_transform(traced.polygon, self.to_level0)
            yield self.shown[traced.label - 1], outline

    def _labels(self, pixels: NDArray[Any], path: Path) -> Labels:
        """The labels of pixels (height, width, channels); 0 where the pixelmap has no value."""
        if pixels.shape[2] == 3:
            if pixels.dtype != np.uint8:
                raise AnnotationError(path, "has colours of more than 8 bits, which tell no number")
            numbers = pixels @ np.array([1, 1 << 8, 1 << 16])
        else:
            numbers = pixels[:, :, 0].astype(np.int64)
        regions = numbers >> 1 if self.doubled else numbers
        known = (regions >= 0) & (regions < len(self.label_of))
        labels = np.zeros(regions.shape, np.uint8)
        labels[known] = self.label_of[regions[known]]
        return labels


def only_image(path: Path, source: str | Path) -> FindLabelImage:
    """Finds `path` for the pixelmaps of `source`, all of which must be about one image."""
    items: set[str] = set()

    def find(girder_id: str) -> Path:
        items.add(girder_id)
        if len(items) > 1:
            raise AnnotationError(
                source, f"has pixelmaps of {len(items)} label images; one is given"
            )
        return path

    return find


def take_pixelmap(
    element: Json, find: FindLabelImage, gatherer: LayerGatherer, where: str, source: str | Path
) -> None:
    """Puts the shapes of a pixelmap into layers called after its categories.

    Args:
        element: the pixelmap.
        find: its label image; without it the pixelmap is counted as left out.
        gatherer: takes the shapes.
        where: what to call the element, for sentences.
        source: what it is read from, for sentences.

    Raises:
        AnnotationError: the element or the file is not what it claims to be.
    """
    girder_id = str(element.get("girderId"))
    path = find(girder_id)
    if path is None:
        item = girder_id[:24]
        gatherer.skip(f"pixelmap of the label image {item} on the server; give it as label_image")
        return
    pixelmap = Pixelmap.parse(element, where, source)
    for category in pixelmap.shown:
        gatherer.open(category.name, category.colour)
    for category, polygon in pixelmap.layers(path, gatherer.spill):
        gatherer.add(category.name, polygon)


def _listed(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _category(given: object, place: int) -> Category | None:
    """A category; None where it is wholly transparent, as that of what nobody has judged is."""
    given = given if isinstance(given, dict) else {}
    fill = given.get("fillColor")
    if isinstance(fill, str) and CLEAR.fullmatch(fill.strip().lower()):
        return None
    return Category(str(given.get("label") or f"category {place}"), browser_colour(fill))


def _matrix(given: object, where: str, source: str | Path) -> Matrix:
    """HistomicsUI moves the image by its own pixels first and turns and widens it then."""
    given = given if isinstance(given, dict) else {}
    what = f"the transform of {where}"
    shift = [number(given.get(key, 0), what, source) for key in ("xoffset", "yoffset")]
    rows = given.get("matrix", [[1, 0], [0, 1]])
    if not (isinstance(rows, list) and [len(_listed(row)) for row in rows] == [2, 2]):
        raise AnnotationError(source, f"{what} is not two rows of two numbers")
    (a, b), (d, e) = ((number(each, what, source) for each in row) for row in rows)
    if not a * e - b * d:
        raise AnnotationError(source, f"{what} leaves nothing of the picture")
    return a, b, d, e, a * shift[0] + b * shift[1], d * shift[0] + e * shift[1]
