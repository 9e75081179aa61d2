"""Make a slide ready to be judged: its size, its scale, and what its layers mean."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.mending import enclosed
from deeplab.annotations.shapes import Annotations, Area, Layer, polygon_parts
from deeplab.config.evaluate_request import BACKGROUND, MOST_CLASSES, EvaluateRequest
from deeplab.errors import AnnotationError, ConfigError, ScaleError, SourceError
from deeplab.evaluation.field import Field
from deeplab.evaluation.shared_names import DrawnNames
from deeplab.evaluation.sides import Sides
from deeplab.evaluation.slide_score import Case
from deeplab.evaluation.sources import Pair, reading_of
from deeplab.exchange.labelling import Labelling, folded
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.server.session import ServerLogin
from deeplab.slides.slide import measure_extent

log = logging.getLogger(__name__)

FINE_UM = 0.5  # per pixel: finer than people draw
SAME_SCALE = 0.05  # two statements that differ by more are of different slides
SIZE = ("width_level0", "height_level0")  # attributes of a label mask


@dataclass(frozen=True, slots=True)
class _Place:
    """The size of a slide in level-0 pixels, 0 where it is not known, and its scale."""

    width_level0: int = 0
    height_level0: int = 0
    mpp: Mpp | None = None


class Reader:
    """Reads slide after slide, and learns the classes on the way where none are named."""

    def __init__(self, request: EvaluateRequest, login: ServerLogin | None) -> None:
        self._request, self._login = request, login
        self._rules = Labelling(
            classes=request.classes,
            aliases=dict(_alias(alias) for alias in request.aliases),
            ignore_class=request.ignore_class,
            exhaustive_layer=request.region_layer,
        )
        self.of_reference: dict[str, None] = {}
        self.of_prediction: dict[str, None] = {}
        self.unused: dict[str, None] = {}
        self._drawn = DrawnNames()  # on all slides
        self._on_slide = DrawnNames()  # on the one read last
        self._met: set[str] = set()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes met so far, or those asked for."""
        return self._rules.classes

    def read(self, pair: Pair) -> tuple[Case, Sides]:
        """Return a slide made ready, and the sides of it as they were read.

        Raises:
            SlideError: its scale is not known or its slide cannot be read.
            AnnotationError, SourceError, ServerError: its layers cannot be read or told apart.
            ConfigError: there are more classes than labels.
        """
        place = _place(pair, self._request, self._login)
        reading = replace(
            reading_of(self._request),
            width_level0=place.width_level0,
            height_level0=place.height_level0,
            mpp=place.mpp,
            slide=pair.name if pair.item or not pair.slide else Path(pair.slide).name,
            slide_file=Path(pair.slide) if pair.slide and not pair.item else None,
        )
        sides = pair.load(reading)
        place = _checked(place, sides, pair.name, self._request)
        _check_on_slide(place, sides, pair.name)
        self._learn(sides)
        self._compare_names(sides)
        return self._case(pair, sides, place), sides

    def check_classes(self) -> None:
        """Raise ConfigError where a class is asked for that no slide has, and there are others."""
        met = {**self.of_reference, **self.of_prediction}
        if not met and not self.unused:
            return  # nothing is drawn on either side, which is what may have been looked for
        for name in self._request.classes:
            if name not in met:
                there = ", ".join(list(dict.fromkeys([*met, *self.unused]))[:20])
                raise ConfigError("classes", name, f"the name of a layer (there are: {there})")

    def check_names(self) -> None:
        """Raise SourceError where no name is on both sides of any slide, unless that is to be."""
        problem = self._drawn.problem(self._rules, self._request.classes)
        if problem and self._request.unmatched == "stop":
            raise SourceError(f"{problem}; to count all as wrong, set unmatched to go_on")

    @property
    def mismatch(self) -> str:
        """What is wrong with the names of the slide read last, as a sentence; "": nothing."""
        return self._on_slide.problem(self._rules, self._request.classes)

    @property
    def idle_aliases(self) -> tuple[str, ...]:
        """The aliases whose name no layer has."""
        return self._rules.idle_aliases(self._met)

    def _compare_names(self, sides: Sides) -> None:
        names = (sides.reference.names, sides.prediction.names)
        self._on_slide = DrawnNames.of(*names, self._rules)
        self._drawn = self._drawn.with_more(self._on_slide)
        self._met.update(name for side in names for name in side)

    def _learn(self, sides: Sides) -> None:
        for side, met in (
            (sides.reference, self.of_reference),
            (sides.prediction, self.of_prediction),
        ):
            for name in side.names:
                meaning = self._rules.meaning(name)
                is_new = meaning not in self._rules.asked and folded(name) != BACKGROUND
                if is_new and not self._request.classes:
                    meaning = meaning or name.strip()
                    classes = (*self._rules.classes, meaning)
                    self._rules = replace(self._rules, classes=classes)
                if meaning in self._rules.classes:
                    met[meaning] = None
                elif not meaning:
                    self.unused[name] = None
        if len(self.classes) > MOST_CLASSES:
            raise ConfigError("classes", len(self.classes), f"at most {MOST_CLASSES}; name them")

    def _case(self, pair: Pair, sides: Sides, place: _Place) -> Case:
        if place.mpp is None:  # checked before; for the types
            raise ScaleError(pair.name, "has no um per pixel")
        truth, prediction = (self._meant(each) for each in (sides.reference, sides.prediction))
        regions = self._regions(truth, pair.name)
        work_mpp = self._request.work_mpp or max(FINE_UM, place.mpp.mean)
        frame = WorkFrame.over(*_size(place, sides), place.mpp, work_mpp)
        return Case(
            name=pair.name,
            field=Field(pair.name, frame, truth, prediction, self._rules, regions),
            mpp=place.mpp,
            classes=self.classes,
            truth=truth,
            prediction=prediction,
            regions=regions,
            ignored=_polygons(truth, self._rules.ignore_class),
        )

    def _meant(self, side: Annotations) -> Annotations:
        """Return the layers that mean something, under the names of what they mean."""
        meant = [(self._rules.meaning(layer.name), layer) for layer in side.layers]
        layers = tuple(Layer(name, layer.colour, layer.shapes) for name, layer in meant if name)
        marks = sum(len(layer.marks) for name, layer in meant if name)
        more = (f"{marks} points and lines have no area and were left out",) if marks else ()
        return replace(side, layers=layers, remarks=(*side.remarks, *more))

    def _regions(self, truth: Annotations, name: str) -> tuple[Area, ...] | None:
        """Return the regions to be judged: those asked for, within the exhaustive layer if any."""
        drawn = _polygons(truth, self._rules.exhaustive_layer)
        if self._rules.exhaustive_layer and not drawn:
            raise SourceError(f"{name} has no shape in the layer {self._rules.exhaustive_layer!r}")
        asked = [enclosed(points) for points in self._request.regions]
        if not asked:
            return drawn if self._rules.exhaustive_layer else None
        whole = shapely.union_all(asked)
        if drawn:
            whole = shapely.intersection(whole, shapely.union_all(list(drawn)))
        return tuple(polygon_parts(whole))


def _alias(text: str) -> tuple[str, str]:
    other, _, name = text.partition("=")
    return other.strip(), name.strip()


def _polygons(side: Annotations, name: str) -> tuple[Area, ...]:
    if not name or name not in side.names:
        return ()
    return tuple(shape.polygon for shape in side.layer(name).shapes)


def _place(pair: Pair, request: EvaluateRequest, login: ServerLogin | None) -> _Place:
    """Return what the slide itself says, where there is one."""
    given = Mpp.square(request.slide_mpp) if request.slide_mpp else None
    if not pair.slide:
        return _Place(mpp=given)
    # Where it states no scale, what is drawn may.
    slide = measure_extent(pair.slide, mpp=request.slide_mpp or None, server=login)
    return _Place(slide.width_level0, slide.height_level0, slide.mpp)


def _checked(place: _Place, sides: Sides, name: str, request: EvaluateRequest) -> _Place:
    """Return the place with a scale, which all that state one agree on.

    Raises:
        ScaleError: nothing states it, or two statements differ.
        AnnotationError: a label mask is of another size.
    """
    stated = {
        "slide": place.mpp,
        "reference": sides.reference.mpp,
        "prediction": sides.prediction.mpp,
    }
    known = {who: mpp for who, mpp in stated.items() if mpp}
    if not known:
        raise ScaleError(
            name, "does not state its um per pixel, nor does what is drawn; give slide_mpp"
        )
    (first, mpp), *others = known.items()
    if not request.slide_mpp:
        for who, other in others:
            if not all(
                abs(a / b - 1) <= SAME_SCALE for a, b in ((mpp.x, other.x), (mpp.y, other.y))
            ):
                raise ScaleError(
                    name,
                    f"is stated to have {mpp.mean:.4g} um per pixel by its {first} and"
                    f" {other.mean:.4g} by its {who}; give the right ones as slide_mpp",
                )
    _check_masks(place, sides, name)
    return replace(place, mpp=mpp)


def _check_masks(place: _Place, sides: Sides, name: str) -> None:
    """Raise AnnotationError where label masks are not as large as the slide or one another."""
    sizes: dict[str, tuple[object, object]] = {}
    if place.width_level0:
        sizes["slide"] = (place.width_level0, place.height_level0)
    for who, side in (("reference", sides.reference), ("prediction", sides.prediction)):
        if all(each in side.attributes for each in SIZE):
            sizes[who] = (side.attributes[SIZE[0]], side.attributes[SIZE[1]])
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{who} {width} x {height}" for who, (width, height) in sizes.items())
        raise AnnotationError(
            name, f"the sizes in pixels differ: {told}; give the slide that both are of"
        )


def _check_on_slide(place: _Place, sides: Sides, name: str) -> None:
    """Raise AnnotationError where all of a side lies beyond the slide."""
    for who, side in (("reference", sides.reference), ("prediction", sides.prediction)):
        polygons = _array(_all_polygons((side,)))
        if not (place.width_level0 and len(polygons)):
            continue
        left, top, right, bottom = shapely.total_bounds(polygons).tolist()
        if left >= place.width_level0 or top >= place.height_level0 or right <= 0 or bottom <= 0:
            raise AnnotationError(
                name, f"all of the {who} lies beyond the slide; is it of another one?"
            )


def _size(place: _Place, sides: Sides) -> tuple[int, int]:
    """Of the slide, level-0 pixels; where it is not known, as far as anything is drawn."""
    if place.width_level0:
        return place.width_level0, place.height_level0
    for side in (sides.reference, sides.prediction):
        width, height = (side.attributes.get(each) for each in SIZE)
        if isinstance(width, int) and isinstance(height, int):
            return width, height
    polygons = _array(_all_polygons((sides.reference, sides.prediction)))
    if not len(polygons):
        return 1, 1
    _, _, right, bottom = shapely.total_bounds(polygons).tolist()
    return max(1, math.ceil(right)), max(1, math.ceil(bottom))


def _array(polygons: Iterable[Area]) -> NDArray[np.object_]:
    return np.array([*polygons, None], object)[:-1]


def _all_polygons(sides: Iterable[Annotations]) -> Iterable[Area]:
    for side in sides:
        for layer in side.layers:
            for shape in layer.shapes:
                yield shape.polygon
