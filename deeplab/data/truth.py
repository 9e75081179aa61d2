"""A slide together with what was drawn on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Self

import numpy as np
import shapely
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import LABEL_SET, Instances, Labels, ShapeIndex, Truth
from deeplab.annotations.shapes import Annotations, Area, Layer
from deeplab.config.channels import ChannelRequest
from deeplab.config.classes import IGNORE, Rgb
from deeplab.errors import AnnotationError, ConfigError, DeeplabError
from deeplab.exchange.labelling import Labelling, Unjudged
from deeplab.exchange.samples import Sample
from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.server.session import ServerLogin
from deeplab.slides.appearance import Appearance, map_stain, measure_appearance
from deeplab.slides.slide import Slide, open_slide
from deeplab.slides.tissue import TissueMask, read_thumbnail

log = logging.getLogger(__name__)

Polygons = tuple[Area, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedLayer:
    """A layer of a slide as its author called it.

    Attributes:
        name: as drawn.
        meaning: the class, or the layer of another meaning, that it stands for; "": none.
        colour: as drawn.
        objects: number of its shapes on the slide.
        area_um2: of these, those that overlap counted each.
    """

    name: str
    meaning: str
    colour: Rgb
    objects: int
    area_um2: float


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Another opinion on a slide.

    Attributes:
        shapes: of each label, level-0 pixels.
        index: the same, made ready to be drawn.
    """

    shapes: Mapping[int, Polygons]
    index: ShapeIndex

    @classmethod
    def of(cls, annotations: Annotations, slide: Slide, rules: Labelling, name: str) -> Self:
        """Return what `annotations` say of a slide by the `rules`; `name` is the slide's."""
        layers = tuple(_on_slide(layer, slide, name) for layer in annotations.layers)
        meant = _by_meaning(layers, rules)
        index = ShapeIndex(meant, rules.values, rules.untyped_layer)
        return cls(_by_label(meant, rules), index)


@dataclass(frozen=True, kw_only=True)
class AnnotatedSlide:
    """Pixels and labels of one slide; reading is safe from many threads.

    Attributes:
        name: what the user knows it by.
        slide: the pixels.
        layers: everything that was drawn, learnt from or not.
        shapes: of each label, level-0 pixels.
        index: the same, made ready to be drawn.
        unjudged: where what is not drawn is not background.
        tissue: where there is some.
        patient: "" where it is not known.
        source: path, or id of the Girder item, from which it was opened.
        remarks: what reading what is drawn took for what, mended or left out.
        label_sets: further opinions, by name.
        layer_ids: of the annotations on a server that it is learnt from.
        appearance: how its tissue looks; None where that cannot be measured.
    """

    name: str
    slide: Slide
    layers: tuple[AnnotatedLayer, ...]
    shapes: Mapping[int, Polygons]
    index: ShapeIndex
    unjudged: Unjudged
    tissue: TissueMask
    patient: str = ""
    source: str = ""
    remarks: tuple[str, ...] = ()
    label_sets: Mapping[str, LabelSet] = field(default_factory=dict)
    layer_ids: tuple[str, ...] = ()
    appearance: Appearance | None = None

    @classmethod
    def of(
        cls,
        slide: Slide,
        annotations: Annotations,
        rules: Labelling,
        *,
        sample: Sample,
        tissue: TissueMask,
    ) -> Self:
        """`slide` with what `annotations` say of it by the `rules`.

        Raises:
            AnnotationError: all that was drawn lies beyond the slide.
        """
        layers = tuple(_on_slide(layer, slide, sample.name) for layer in annotations.layers)
        if annotations.shape_count and not any(layer.shapes for layer in layers):
            raise AnnotationError(
                sample.name, "all that was drawn lies beyond the slide; is it of another one?"
            )
        meant = _by_meaning(layers, rules)
        marks = sum(len(layer.marks) for layer in annotations.layers if rules.meaning(layer.name))
        if marks:
            log.warning("%s: %d points and lines have no area to learn from", sample.name, marks)
        return cls(
            name=sample.name,
            slide=slide,
            layers=tuple(_drawn(layer, rules, slide) for layer in layers),
            shapes=_by_label(meant, rules),
            index=ShapeIndex(meant, rules.values, rules.untyped_layer),
            unjudged=rules.unjudged,
            tissue=tissue,
            patient=sample.patient,
            source=sample.slide,
            remarks=annotations.remarks,
            layer_ids=tuple(
                id_ for name, ids in annotations.ids.items() if rules.meaning(name) for id_ in ids
            ),
        )

    def shapes_of(self, label: int) -> Polygons:
        """Return all shapes of a class, level-0 pixels; of label 0, the finished regions."""
        return self.shapes.get(label, ())

    def labels(self, frame: WorkFrame, box: WorkBox, label_set: str = "") -> Labels:
        """Labels (height, width) of a box, or those of a set; beyond the slide they are IGNORE."""
        index = self.label_sets[label_set].index if label_set else self.index
        labels = np.full((box.height, box.width), IGNORE, np.uint8)
        on_slide = box.intersection(frame.box)
        if not on_slide.is_empty:
            ground = self._ground(frame, on_slide)
            labels[on_slide.within(box)] = index.draw(on_slide, frame, ground=ground)
        return labels

    def instances(self, frame: WorkFrame, box: WorkBox) -> Instances:
        """Return the numbers of the objects of a box, int32 (height, width); 0 where none is.

        One drawn polygon of a class is one object, whatever box it is seen in; see `ShapeIndex`.
        """
        instances = np.zeros((box.height, box.width), np.int32)
        on_slide = box.intersection(frame.box)
        if not on_slide.is_empty:
            instances[on_slide.within(box)] = self.index.draw_instances(on_slide, frame)
        return instances

    def classes(self, frame: WorkFrame, box: WorkBox) -> NDArray[np.uint32]:
        """Return the classes of the pixels of a box, bits of uint32 (height, width)."""
        bits = np.zeros((box.height, box.width), np.uint32)
        on_slide = box.intersection(frame.box)
        if not on_slide.is_empty:
            bits[on_slide.within(box)] = self.index.draw_classes(on_slide, frame)
        return bits

    def truth(self, frame: WorkFrame, box: WorkBox, needs: Collection[str]) -> Truth:
        """Return what is true of a box, of the kinds that are needed.

        Raises:
            ConfigError: a kind is asked for that cannot be drawn from shapes.
        """
        draw: dict[str, Callable[[WorkFrame, WorkBox], NDArray[Any]]] = {
            "labels": self.labels,
            "instances": self.instances,
            "classes": self.classes,
            **{LABEL_SET + name: partial(self.labels, label_set=name) for name in self.label_sets},
        }
        if unknown := sorted(set(needs) - draw.keys()):
            raise ConfigError("needs", ", ".join(unknown), "some of " + ", ".join(draw))
        return {kind: draw[kind](frame, box) for kind in sorted(needs)}

    def read(
        self, frame: WorkFrame, box: WorkBox, needs: Collection[str] = ("labels",)
    ) -> tuple[NDArray[np.uint8], Truth]:
        """Return pixels (height, width, channels) and what is true of them.

        Beyond the slide labels are IGNORE.

        Raises:
            SlideError: a part of the slide cannot be read.
            ServerError: the server that has the slide failed.
        """
        return self.slide.read(frame, box), self.truth(frame, box, needs)

    def extent(self) -> Level0Box:
        """The part of the slide that holds all its shapes; the whole slide where there is none."""
        return self._extent

    @cached_property
    def _extent(self) -> Level0Box:
        polygons = [polygon for some in self.shapes.values() for polygon in some]
        if not polygons:
            return Level0Box(0, 0, self.slide.width_level0, self.slide.height_level0)
        left, top, right, bottom = shapely.total_bounds(polygons)
        return Level0Box(left, top, max(right - left, 1), max(bottom - top, 1))

    def _ground(self, frame: WorkFrame, box: WorkBox) -> Labels | int:
        """Return the labels where nothing is drawn."""
        if self.unjudged != "on tissue":
            return 0 if self.unjudged == "nowhere" else IGNORE
        seen = self.tissue.frame
        x_level0 = (np.arange(box.x, box.right) + 0.5) * frame.scale_x
        y_level0 = (np.arange(box.y, box.bottom) + 0.5) * frame.scale_y
        cols = np.minimum(x_level0 // seen.scale_x, seen.width - 1).astype(np.intp)
        rows = np.minimum(y_level0 // seen.scale_y, seen.height - 1).astype(np.intp)
        return np.where(self.tissue.mask[np.ix_(rows, cols)], IGNORE, 0).astype(np.uint8)


def open_annotated(
    sample: Sample,
    annotations: Annotations,
    rules: Labelling,
    *,
    slide_mpp: float,
    login: ServerLogin | None,
    channels: ChannelRequest | None = None,
) -> AnnotatedSlide:
    """Open the slide of a sample, with its annotations; `slide_mpp` 0 is what the slide says.

    Its colours are read, or the `channels` asked for. Label sets are loaded here.

    Raises:
        AnnotationError: they are of another slide.
        SlideError: the slide cannot be read, or does not state its um per pixel.
        ServerError: the server that has it refuses or fails.
    """
    mpp = sample.mpp or slide_mpp or None
    slide = open_slide(sample.slide, mpp=mpp, server=login, channels=channels)
    try:
        _check_size(annotations, slide, sample.name)
        label_sets = {}
        for name, load in sample.label_sets.items():
            drawn = load()
            _check_size(drawn, slide, f"{sample.name} ({name})")
            label_sets[name] = LabelSet.of(drawn, slide, rules, sample.name)
        thumbnail = read_thumbnail(slide)
        opened = AnnotatedSlide.of(
            slide, annotations, rules, sample=sample, tissue=thumbnail.tissue()
        )
        appearance = measure_appearance(map_stain(thumbnail))
        return replace(opened, label_sets=label_sets, appearance=appearance)
    except DeeplabError:
        slide.close()
        raise


def _check_size(annotations: Annotations, slide: Slide, name: str) -> None:
    """Raise AnnotationError where these are of a label image of another size than the slide."""
    mask = tuple(annotations.attributes.get(f"{side}_level0") for side in ("width", "height"))
    size = (slide.width_level0, slide.height_level0)
    if None not in mask and mask != size:
        raise AnnotationError(
            name,
            f"the label image has {mask[0]} x {mask[1]} pixels and the slide {size[0]} x {size[1]};"
            " it must be as large as the slide's full resolution",
        )


def _on_slide(layer: Layer, slide: Slide, name: str) -> Layer:
    """Return the layer without the shapes that lie beyond the slide whole."""
    polygons = [shape.polygon for shape in layer.shapes]
    left, top, right, bottom = shapely.bounds(np.asarray(polygons, object)).reshape(-1, 4).T
    on = (right > 0) & (bottom > 0) & (left < slide.width_level0) & (top < slide.height_level0)
    if on.all():
        return layer
    log.warning("%s: %d of %r lie beyond the slide and are left out", name, (~on).sum(), layer.name)
    shapes = tuple(shape for shape, kept in zip(layer.shapes, on, strict=True) if kept)
    return Layer(layer.name, layer.colour, shapes, layer.description)


def _by_label(meant: Annotations, rules: Labelling) -> dict[int, Polygons]:
    """Return all shapes of each label that has any; several layers may have one."""
    shapes: dict[int, Polygons] = {}
    for name, value in rules.values.items():
        if name in meant.names:
            more = tuple(shape.polygon for shape in meant.layer(name).shapes)
            shapes[value] = shapes.get(value, ()) + more
    return shapes


def _by_meaning(layers: tuple[Layer, ...], rules: Labelling) -> Annotations:
    """Return the layers that are asked for, under the names of what they stand for."""
    return Annotations(
        tuple(
            Layer(meaning, layer.colour, layer.shapes)
            for layer in layers
            if (meaning := rules.meaning(layer.name))
        )
    )


def _drawn(layer: Layer, rules: Labelling, slide: Slide) -> AnnotatedLayer:
    polygons = np.asarray([shape.polygon for shape in layer.shapes], object)
    return AnnotatedLayer(
        name=layer.name,
        meaning=rules.meaning(layer.name),
        colour=layer.colour,
        objects=len(polygons),
        area_um2=float(shapely.area(polygons).sum()) * slide.mpp.x * slide.mpp.y,
    )
