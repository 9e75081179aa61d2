"""One slide with its annotations in, all that is measured of its objects out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab import __version__
from deeplab.annotations.formats.girder_json import write_girder_json
from deeplab.annotations.shapes import Annotations, Layer
from deeplab.config.features_request import FeaturesRequest
from deeplab.errors import AnnotationError
from deeplab.exchange.samples import Sample
from deeplab.features.feature_layers import TASK, feature_layers
from deeplab.features.gallery import GalleryObject, take_pictures
from deeplab.features.slide_measures import SlideMeasures
from deeplab.features.table import FeatureTable, measure
from deeplab.features.wanted_layers import load_layers, wanted_layers
from deeplab.features.windows import PixelReading, measure_windows
from deeplab.report.words import counted
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import Slide, open_slide
from deeplab.slides.tissue import tissue_mask

NOT_TOLD = {"token", "api_url"}
NAMED = 12  # layers that are named in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideMeasurer:
    """Measures the slides of a request; `tick` is told objects done and objects of the slide."""

    request: FeaturesRequest
    login: ServerLogin | None
    tick: Callable[[int, int], None]

    def measure(self, sample: Sample, layers: Path) -> SlideMeasures:
        """Return all that is asked for of one slide.

        Args:
            sample: the slide and its annotations.
            layers: a file to write, if it is asked for: the objects with their features.

        Raises:
            SlideError: the slide cannot be read.
            AnnotationError: its annotations cannot, or have no layer that is asked for.
            ServerError: the server that has them refused or failed.
        """
        drawn, odd = load_layers(sample, self.request.classes, self.login)
        annotations = wanted_layers(drawn, self.request.classes)
        annotations = replace(annotations, remarks=(*annotations.remarks, *odd))
        if not annotations.layers:
            told = ", ".join(drawn.names[:NAMED]) or "none"
            raise AnnotationError(
                sample.name, f"has no layer that is asked for (its layers: {told})"
            )
        mpp = sample.mpp or self.request.slide_mpp or None
        channels = self.request.measured_channels
        with open_slide(sample.slide, mpp=mpp, server=self.login, channels=channels) as slide:
            found = self._measured(sample, slide, annotations, layers)
            slide.check_unchanged()
        if self.request.output_annotation or self.request.posts:
            objects = feature_layers(annotations, found.tables, found.channels)
            write_girder_json(layers, replace(objects, attributes=self._origin(), mpp=found.mpp))
        return found

    def _measured(
        self, sample: Sample, slide: Slide, annotations: Annotations, layers: Path
    ) -> SlideMeasures:
        tissue = tissue_mask(slide, margin_um=0.0)
        tables = measure(annotations, slide.mpp, radius_um=self.request.radius_um)
        if self.request.pixels == "auto":
            tables = self._with_pixels(slide, annotations, tables)
        return SlideMeasures(
            name=sample.name,
            slide=sample.slide,
            mpp=slide.mpp,
            tissue_area_um2=float(np.count_nonzero(tissue.mask)) * tissue.frame.work_mpp**2,
            tables=tables,
            layers=layers,
            colours={layer.name: layer.colour for layer in annotations.layers},
            pictures=_pictures(slide, annotations, tables) if self.request.output_report else {},
            channels=tuple(each.name for each in slide.seen),
            remarks=tuple(_remarks(slide, annotations, tables, self.request)),
        )

    def _with_pixels(
        self, slide: Slide, annotations: Annotations, tables: Mapping[str, FeatureTable]
    ) -> dict[str, FeatureTable]:
        """The tables with the columns of pixels; objects of all classes are read together."""
        polygons = [_polygons(annotations.layer(name)) for name in tables]
        count, done = sum(map(len, polygons)), 0

        def tick() -> None:
            nonlocal done
            done += 1
            self.tick(done, count)

        reading = PixelReading(work_mpp=self.request.work_mpp, staining=self.request.staining)
        columns = measure_windows(slide, np.concatenate(polygons), reading, tick)
        ends = np.cumsum([len(each) for each in polygons])[:-1]
        parts = {name: np.split(values, ends) for name, values in columns.items()}
        return {
            name: FeatureTable(
                name, table.columns | {column: parts[column][place] for column in columns}
            )
            for place, (name, table) in enumerate(tables.items())
        }

    def _origin(self) -> dict[str, object]:
        """Attributes by the convention of HistomicsTK's tasks."""
        told = {
            name: getattr(self.request, name)
            for name in FeaturesRequest.__dataclass_fields__
            if name not in NOT_TOLD
        }
        params = {
            name: value if isinstance(value, int | float | str) else str(value)
            for name, value in told.items()
        }
        return {"cli": TASK, "version": __version__, "params": params}


def _polygons(layer: Layer) -> NDArray[np.object_]:
    return np.array([shape.polygon for shape in layer.shapes], dtype=object)


def _count_beyond(layer: Layer, slide: Slide) -> int:
    """Return how many shapes reach beyond the slide by more than a pixel."""
    if not layer.shapes:
        return 0
    left, top, right, bottom = shapely.bounds(_polygons(layer)).T
    outside = (left < -1) | (top < -1)
    outside |= (right > slide.width_level0 + 1) | (bottom > slide.height_level0 + 1)
    return int(outside.sum())


def _pictures(
    slide: Slide, annotations: Annotations, tables: Mapping[str, FeatureTable]
) -> dict[str, list[GalleryObject]]:
    return {
        name: take_pictures(
            slide,
            _polygons(annotations.layer(name)),
            table.columns["area_um2"],
            annotations.layer(name).colour,
        )
        for name, table in tables.items()
    }


def _remarks(
    slide: Slide,
    annotations: Annotations,
    tables: Mapping[str, FeatureTable],
    request: FeaturesRequest,
) -> Iterator[str]:
    yield from annotations.remarks
    for layer in annotations.layers:
        if layer.marks:
            yield f"{len(layer.marks)} points or lines of {layer.name} enclose no area"
        if beyond := _count_beyond(layer, slide):
            yield (
                f"{counted(beyond, 'object')} of {layer.name} reach beyond the slide and are "
                "measured in full; are they of another one?"
            )
    if request.pixels == "off":
        return
    if slide.kind and not slide.seen:
        yield (
            f"its pixels are {slide.kind}; colours and stains are those of its picture, which mean "
            "nothing on a fluorescent slide: name its channels (--channels) to have intensities"
        )
    finest = slide.frame(max(request.work_mpp, slide.mpp.mean)).work_mpp
    if finest > 1.06 * request.work_mpp:
        yield (
            f"it was scanned and is read at {finest:.3g} um per pixel, coarser than "
            f"{request.work_mpp:g}"
        )
    for name, table in tables.items():
        scale = table.columns["read_mpp"]
        coarse = scale[scale > 1.5 * finest]
        if coarse.size:
            low, high = f"{coarse.min():.3g}", f"{coarse.max():.3g}"
            yield (
                f"{coarse.size} of {len(scale)} objects of {name} are large and were read at "
                f"{low if low == high else f'{low} to {high}'} um per pixel; do not compare "
                "their texture with that of others"
            )
