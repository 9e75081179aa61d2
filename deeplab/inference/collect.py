"""What tiles answer, put together: shapes, and on request a heatmap and a map of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from deeplab.annotations.heatmap import Heatmap
from deeplab.annotations.shapes import Annotations, Layer, Shape
from deeplab.annotations.simplify import simplify
from deeplab.annotations.trace import SeamTracer, TracedShape
from deeplab.bundles.card import Card
from deeplab.config.requests import SegmentRequest
from deeplab.geometry.frames import Mpp
from deeplab.geometry.grid import TilePlan, TileSlot
from deeplab.inference.heatmap import HeatmapGrid
from deeplab.inference.plan import Area
from deeplab.inference.stream import Maps
from deeplab.label_map import LabelRow, LabelTable
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES
from deeplab.postprocess.regions import area_um2, drop_small, fill_holes
from deeplab.slides.label_tiff import LabelCanvas
from deeplab.slides.slide import Slide


class Collector:
    """Takes every tile of a plan in reading order; has work files, so it is to be closed."""

    def __init__(self, request: SegmentRequest, card: Card, plan: TilePlan, area: Area) -> None:
        self._request, self._card, self._area = request, card, area
        self._stride = card.config.tiling.logit_stride
        self._tracer = SeamTracer(area.frame, plan.area)
        self._shapes: list[TracedShape] | None = None
        self._heat = (
            HeatmapGrid(card.classes, area.frame, request.heatmap_um)
            if request.save_heatmap
            else None
        )
        self._canvas = LabelCanvas(area.frame) if request.output_mask else None

    def close(self) -> None:
        """Remove the work files."""
        if self._canvas:
            self._canvas.close()

    def add(self, slot: TileSlot, maps: Maps | None) -> None:
        """Take the next tile; no maps: nothing is there."""
        box = slot.write
        if maps is None:
            self._tracer.add(np.zeros((box.height, box.width), np.uint8), None, box)
            return
        inside = box.within(slot.read)
        labels = self._area.clip(np.ascontiguousarray(maps[LABELS][inside]), box)
        # Logits lie on every stride-th pixel, and the halo is a multiple of the stride.
        coarse = tuple(
            slice(part.start // self._stride, -(-part.stop // self._stride)) for part in inside
        )
        self._tracer.add(labels, maps[CONFIDENCE][coarse], box)
        if self._canvas:
            self._canvas.place(labels, box)
        if self._heat:
            self._heat.add(maps[PROBABILITIES][coarse], self._stride, box)

    def annotations(self, attributes: Mapping[str, object], mpp: Mpp) -> Annotations:
        """One layer a class, also for a class of which nothing was found.

        Args:
            attributes: where all this comes from.
            mpp: the slide's um per level-0 pixel.
        """
        request, frame = self._request, self._area.frame
        found: Iterable[TracedShape] = self._tracer.finish()
        found = drop_small(found, request.min_area_um2, frame)
        found = fill_holes(found, request.min_hole_um2, frame)
        found = simplify(found, request.simplify_um, mpp)
        by_label: dict[int, list[Shape]] = {label: [] for label in range(1, self._labels)}
        for traced in found:
            properties: dict[str, float] = {"area_um2": round(area_um2(traced, frame), 2)}
            if traced.confidence is not None:
                properties["confidence"] = round(traced.confidence, 4)
            by_label[traced.label].append(Shape(traced.polygon, properties))
        return Annotations(
            tuple(
                Layer(entry.name, entry.colour, tuple(shapes), self._description(shapes))
                for entry, shapes in zip(self._card.classes, by_label.values(), strict=True)
            ),
            attributes,
        )

    @property
    def _labels(self) -> int:
        return self._card.classes.label_count

    def _description(self, shapes: Sequence[Shape]) -> str:
        area_mm2 = sum(float(shape.properties["area_um2"]) for shape in shapes) / 1e6
        said = f"{len(shapes)} outlined, together {area_mm2:.4g} mm2"
        return f"{said}. {self._card.notice}" if self._card.notice else said

    def save_mask(self, path: Path, slide: Slide) -> None:
        """Write the labels of all pixels with the names and colours of the classes.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        if self._canvas is None:
            return
        frame = self._area.frame
        table = LabelTable(
            rows=tuple(
                LabelRow(label, entry.name, entry.colour)
                for label, entry in enumerate(self._card.classes, start=1)
            ),
            scale_x=frame.scale_x,
            scale_y=frame.scale_y,
            width_level0=slide.width_level0,
            height_level0=slide.height_level0,
        )
        self._canvas.save(path, table, slide.mpp)

    def heatmaps(self) -> list[Heatmap]:
        """One a class where heatmaps are wanted."""
        return self._heat.heatmaps() if self._heat else []
