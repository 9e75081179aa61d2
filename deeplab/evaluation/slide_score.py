"""How one slide's prediction agrees with its reference: pixels, borders and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.shapes import Annotations, Area, Layer
from deeplab.config.evaluate_request import EvaluateRequest
from deeplab.evaluation.boundary import BorderDistances, Points, border
from deeplab.evaluation.distance_tally import BorderTally, DistanceTally
from deeplab.evaluation.error_map import ErrorMap, ErrorPicture
from deeplab.evaluation.field import BLOCK, Block, Field, classes_in
from deeplab.evaluation.instances import (
    Detection,
    InstanceSums,
    Overlaps,
    compare_centroids,
    compare_objects,
)
from deeplab.evaluation.mistakes import AreaErrors, Unmatched, object_layers
from deeplab.evaluation.semantic import Confusion
from deeplab.evaluation.type_confusion import TypeConfusion, compare_types
from deeplab.geometry.frames import Level0Box, Mpp, WorkBox

Polygons = NDArray[np.object_]
Places = NDArray[np.int32]  # (border pixels, 2): x and y, work pixels


@dataclass(frozen=True, slots=True)
class UntypedObjects:
    """How objects agree that are matched whatever their class, areas in um2, and their types."""

    agreement: InstanceSums
    types: TypeConfusion

    def widened(self, type_count: int) -> UntypedObjects:
        """Return the same with further types, of which there is nothing."""
        return replace(self, types=self.types.widened(type_count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What was evaluated, so that figures of two models on a slide are known to be of one task.

    Attributes:
        item: id of the Girder item; "": the slide is no such.
        reference: digest of what the prediction was held against; see `reference_digest`.
        model_sha256: of the file of the model that predicted; "": not known.
    """

    item: str = ""
    reference: str = ""
    model_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideScore:
    """What was counted on one slide; all figures are made of it.

    Attributes:
        name: what people know it by.
        classes: of the labels 1, 2, ...
        confusion: in work pixels.
        work_mpp: um per work pixel.
        borders: of each class.
        objects: of each class, areas in um2.
        centroids: of each class; None where they were not asked for.
        nuclei: objects whatever their class; None where centroids were not asked for.
        model: that predicted, where it is known.
        identity: what tells whether the figures of two evaluations of the slide may be compared.
        remarks: what reading had to mend or leave out.
        error_map: a small picture of where the errors are; None: none was asked for.
    """

    name: str
    classes: tuple[str, ...]
    confusion: Confusion
    work_mpp: float
    borders: tuple[BorderTally, ...]
    objects: tuple[InstanceSums, ...]
    centroids: tuple[Detection, ...] | None = None
    nuclei: UntypedObjects | None = None
    model: str = ""
    identity: Identity = field(default_factory=Identity)
    remarks: tuple[str, ...] = ()
    error_map: ErrorPicture | None = None

    @property
    def mm2(self) -> NDArray[np.float64]:
        """Area by true and predicted label, mm2."""
        return np.asarray(self.confusion.counts * self.work_mpp**2 / 1e6)

    def among(self, classes: tuple[str, ...]) -> SlideScore:
        """Return the same with the classes of further slides, which it has nothing of."""
        more = len(classes) - len(self.classes)
        if not more:
            return self
        return replace(
            self,
            classes=classes,
            confusion=Confusion.of(np.pad(self.confusion.counts, (0, more))),
            borders=self.borders + (BorderTally.nothing(),) * more,
            objects=self.objects + (InstanceSums(),) * more,
            centroids=None if self.centroids is None else self.centroids + (Detection(),) * more,
            nuclei=self.nuclei.widened(len(classes)) if self.nuclei else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The score of a slide and the layers that show its errors."""

    score: SlideScore
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One slide made ready to be judged.

    Attributes:
        name: what people know it by.
        field: where and what is compared.
        mpp: um per level-0 pixel.
        classes: of the labels 1, 2, ...
        truth: layers under the names of the classes, and what is ignored under its own.
        prediction: layers under the names of the classes.
        regions: polygons within which is judged; None: everywhere.
        ignored: polygons within which is not.
    """

    name: str
    field: Field
    mpp: Mpp
    classes: tuple[str, ...]
    truth: Annotations
    prediction: Annotations
    regions: tuple[Area, ...] | None = None
    ignored: tuple[Area, ...] = ()

    @property
    def drawn_box(self) -> WorkBox:
        """The work pixels within which anything is drawn and judged; all where nothing is."""
        polygons = np.concatenate(
            [
                _polygons(side, name)
                for side in (self.truth, self.prediction)
                for name in self.classes
            ]
            or [np.empty(0, object)]
        )
        if not len(polygons):
            return self.field.area
        left, top, right, bottom = shapely.total_bounds(polygons).tolist()
        drawn = self.field.frame.to_work(Level0Box(left, top, right - left, bottom - top))
        margin = (drawn.width + drawn.height) // 50 + 1
        wider = WorkBox(
            drawn.x - margin, drawn.y - margin, drawn.width + 2 * margin, drawn.height + 2 * margin
        )
        shown = wider.intersection(self.field.area)
        return self.field.area if shown.is_empty else shown


def judge(
    case: Case,
    request: EvaluateRequest,
    *,
    block: int = BLOCK,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> Judged:
    """Compare both sides of a slide.

    Args:
        case: the slide.
        request: what is to be looked at.
        block: side of the pieces that are drawn, work pixels; it changes the memory alone.
        told: is told how many pieces of how many are done.
    """
    pixels = _Pixels(len(case.classes))
    errors, picture = AreaErrors(case.field, request.error_width_um), ErrorMap(case.drawn_box)
    shows_areas = request.error_layers != "objects" and (request.output_annotation or request.posts)
    margin = max(1, 2 * errors.reach if shows_areas else 1)
    for done, each in enumerate(case.field.blocks(margin, block), start=1):
        pixels.add(each)
        if request.output_report:
            picture.add(each)
        if shows_areas:
            errors.add(each)
        told(done, case.field.block_count(block))
    work_mpp = case.field.frame.work_mpp
    found = [_compare_objects(case, name, request) for name in case.classes]
    layers = list(errors.layers(case.classes, case.mpp)) if shows_areas else []
    if request.error_layers != "areas":
        for name, own in zip(case.classes, found, strict=True):
            layers += object_layers(name, own.unmatched, case.mpp)
    return Judged(
        score=SlideScore(
            name=case.name,
            classes=case.classes,
            confusion=pixels.confusion,
            work_mpp=work_mpp,
            borders=tuple(pixels.borders(work_mpp)),
            objects=tuple(each.agreement for each in found),
            centroids=tuple(each.centroids for each in found) if request.centroid_um else None,
            nuclei=_compare_untyped(case, request) if request.centroid_um else None,
            remarks=(*case.truth.remarks, *case.prediction.remarks),
            error_map=picture.picture(work_mpp) if request.output_report else None,
        ),
        layers=tuple(layer for layer in layers if layer.shapes),
    )


class _Pixels:
    """Counts pixels and gathers border pixels, block by block."""

    def __init__(self, class_count: int) -> None:
        self.confusion = Confusion(class_count + 1)
        self._true: list[list[Places]] = [[] for _ in range(class_count)]
        self._predicted: list[list[Places]] = [[] for _ in range(class_count)]

    def add(self, block: Block) -> None:
        """Take one more block; it has a margin of a pixel at least."""
        inner = block.inner
        truth, prediction = block.truth[inner], block.prediction[inner]
        # Most of a slide is background on both sides, which is counted faster by itself.
        drawn = (truth | prediction) > 0
        self.confusion.add(truth[drawn], prediction[drawn])
        self.confusion.counts[0, 0] += int(block.judged[inner].sum()) - int(drawn.sum())
        for labels, points in ((block.truth, self._true), (block.prediction, self._predicted)):
            for label in classes_in(labels):
                y, x = np.nonzero(border(labels == label)[inner])
                places = np.column_stack([x + block.core.x, y + block.core.y])
                points[label - 1].append(places.astype(np.int32))  # the most that is kept of pixels

    def borders(self, work_mpp: float) -> list[BorderTally]:
        """Return the distances between the borders of each class."""
        tallies = []
        for sides in zip(self._true, self._predicted, strict=True):
            true_um, predicted_um = (
                (np.concatenate([np.empty((0, 2)), *points]) + 0.5) * work_mpp for points in sides
            )
            distances = BorderDistances.of_points(true_um, predicted_um)
            tallies.append(
                BorderTally(
                    DistanceTally.of(distances.from_truth_um),
                    DistanceTally.of(distances.from_prediction_um),
                )
            )
        return tallies


@dataclass(frozen=True, slots=True)
class _ComparedObjects:
    agreement: InstanceSums
    centroids: Detection
    unmatched: Unmatched = field(default_factory=Unmatched)


def _compare_objects(case: Case, name: str, request: EvaluateRequest) -> _ComparedObjects:
    true, predicted = (
        _judged_objects(_polygons(side, name), case) for side in (case.truth, case.prediction)
    )
    overlaps = _in_um2(Overlaps.of_polygons(list(true), list(predicted)), case.mpp)
    pairs = overlaps.match(request.min_iou)
    centroids = Detection()
    if request.centroid_um:
        true_um, predicted_um = (_centroids_um(each, case.mpp) for each in (true, predicted))
        centroids = compare_centroids(true_um, predicted_um, request.centroid_um)
    return _ComparedObjects(
        compare_objects(overlaps, request.min_iou),
        centroids,
        Unmatched(
            tuple(np.delete(true, overlaps.true_of_pair[pairs])),
            tuple(np.delete(predicted, overlaps.predicted_of_pair[pairs])),
        ),
    )


def _compare_untyped(case: Case, request: EvaluateRequest) -> UntypedObjects:
    """Match objects of all classes with each other, and count the types of pairs of centroids."""
    sides, types = [], []
    for side in (case.truth, case.prediction):
        by_class = [_judged_objects(_polygons(side, name), case) for name in case.classes]
        sides.append(np.concatenate([np.empty(0, object), *by_class]))
        counts = [len(each) for each in by_class]
        types.append(np.repeat(np.arange(1, len(by_class) + 1), counts))
    true, predicted = sides
    overlaps = _in_um2(Overlaps.of_polygons(list(true), list(predicted)), case.mpp)
    return UntypedObjects(
        compare_objects(overlaps, request.min_iou),
        compare_types(
            _centroids_um(true, case.mpp),
            types[0],
            _centroids_um(predicted, case.mpp),
            types[1],
            radius_um=request.centroid_um,
            type_count=len(case.classes),
        ),
    )


def _polygons(side: Annotations, name: str) -> Polygons:
    if name not in side.names:
        return np.empty(0, object)
    return _array([shape.polygon for shape in side.layer(name).shapes])


def _judged_objects(polygons: Polygons, case: Case) -> Polygons:
    """Return the objects whose centroid lies where is judged: each is in or out as a whole."""
    middles = shapely.centroid(polygons)
    area = case.field.frame.to_level0(case.field.area)
    x, y = shapely.get_x(middles) - area.x0, shapely.get_y(middles) - area.y0
    inside = (x >= 0) & (y >= 0) & (x <= area.width) & (y <= area.height)
    if case.regions is not None:
        inside &= _within_any(middles, case.regions)
    if case.ignored:
        inside &= ~_within_any(middles, case.ignored)
    return np.asarray(polygons[inside], object)


def _within_any(points: Polygons, polygons: Sequence[Area]) -> NDArray[np.bool_]:
    place, _ = shapely.STRtree(_array(polygons)).query(points, predicate="intersects")
    inside = np.zeros(len(points), bool)
    inside[place] = True
    return inside


def _array(polygons: Sequence[Area]) -> Polygons:
    return np.array([*polygons, None], object)[:-1]


def _in_um2(overlaps: Overlaps, mpp: Mpp) -> Overlaps:
    """Return the overlaps with areas in um2, so that those of slides of several scales add up."""
    um2 = mpp.x * mpp.y
    return replace(
        overlaps,
        true_areas=overlaps.true_areas * um2,
        predicted_areas=overlaps.predicted_areas * um2,
        shared_areas=overlaps.shared_areas * um2,
    )


def _centroids_um(polygons: Polygons, mpp: Mpp) -> Points:
    middles = shapely.centroid(polygons)
    return np.column_stack([shapely.get_x(middles) * mpp.x, shapely.get_y(middles) * mpp.y])
