"""All that was measured on one slide, and the columns that slides have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeplab.config.classes import Rgb
from deeplab.config.features_request import Pixels
from deeplab.features import neighbours, outline, windows
from deeplab.features.gallery import GalleryObject
from deeplab.features.neighbours import distance_column
from deeplab.features.slide_summary import ClassSummary, summarise
from deeplab.features.table import FeatureTable
from deeplab.geometry.frames import Mpp

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideMeasures:
    """What was measured on one slide.

    Attributes:
        name: what the user knows the slide by.
        slide: path, or id of the Girder item.
        mpp: um per level-0 pixel.
        tissue_area_um2: of the tissue.
        tables: the objects of each class, by its name.
        colours: of the classes.
        layers: file of HistomicsUI JSON with the objects and their features, where asked for.
        pictures: some objects of each class, where they were asked for.
        channels: names of those whose intensity was measured; none: colours were.
        remarks: what could not be measured, or otherwise than asked, a sentence each.
    """

    name: str
    slide: str
    mpp: Mpp
    tissue_area_um2: float
    tables: Mapping[str, FeatureTable]
    colours: Mapping[str, Rgb]
    layers: Path
    pictures: Mapping[str, Sequence[GalleryObject]] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def summaries(self) -> list[ClassSummary]:
        """Of each class, in order."""
        return [
            summarise(name, table.columns["area_um2"], self.tissue_area_um2)
            for name, table in self.tables.items()
        ]

    def count(self, name: str) -> int:
        """Number of objects of a class, those without an outline included."""
        return len(self.tables[name].columns["area_um2"]) if name in self.tables else 0

    def column(self, class_name: str, column: str) -> Floats:
        """Return a column of a class, (n,); NaN where it was not measured."""
        if class_name not in self.tables:
            return np.zeros(0)
        nothing = np.full(self.count(class_name), np.nan)
        return self.tables[class_name].columns.get(column, nothing)

    def rows(self, class_name: str, columns: Sequence[str]) -> Iterator[list[float]]:
        """Return the objects of a class, one after the other."""
        values = np.array([self.column(class_name, column) for column in columns])
        return iter(values.T.tolist())


def class_names(slides: Iterable[SlideMeasures]) -> list[str]:
    """Return the classes of all slides, each once, in the order in which they come."""
    return list(dict.fromkeys(name for slide in slides for name in slide.tables))


def pooled(slides: Iterable[SlideMeasures], class_name: str, column: str) -> Floats:
    """Return a column of a class over all slides, (n,)."""
    return np.concatenate([np.zeros(0), *(slide.column(class_name, column) for slide in slides)])


def channels_of(slides: Iterable[SlideMeasures]) -> tuple[str, ...]:
    """Return the channels whose intensity was measured on any slide, each once."""
    return tuple(dict.fromkeys(name for slide in slides for name in slide.channels))


def columns_of(
    class_name: str | None,
    classes: Sequence[str],
    *,
    pixels: Pixels,
    channels: Sequence[str] = (),
) -> list[str]:
    """Return the columns of a class, or of all classes together, the same whatever the slides hold.

    Args:
        class_name: None for all: every class has a column of distances to it.
        classes: of all slides.
        pixels: "off" where none were measured.
        channels: whose intensity was measured; none: colours were.
    """
    others = [distance_column(name) for name in classes if len(classes) > 1 and name != class_name]
    seen = windows.columns_read(channels) if pixels == "auto" else ()
    return list(dict.fromkeys([*outline.COLUMNS, *neighbours.COLUMNS, *others, *seen]))
