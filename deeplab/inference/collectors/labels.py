"""Labels of tiles to outlines that run on over the seams."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from deeplab.annotations.trace.outlines import SeamTracer, TracedShape
from deeplab.geometry.grid import TileSlot
from deeplab.inference.plan import Area
from deeplab.inference.rasters import Rasters
from deeplab.models.answers import LabelAnswer


class LabelCollector:
    """Keeps the write box of every tile, where all of an object is one by its pixels' sides.

    Args:
        area: what the tiles cover together.
        rasters: get the labels and probabilities, too.
        logit_stride: work pixels from one probability to the next.
    """

    def __init__(self, area: Area, rasters: Rasters, logit_stride: int) -> None:
        self._area, self._rasters, self._stride = area, rasters, logit_stride
        self._tracer = SeamTracer(area.frame, area.box)

    def add(self, slot: TileSlot, answer: LabelAnswer | None) -> None:
        """Take the next tile; no answer: nothing is there."""
        box = slot.write
        if answer is None:
            self._tracer.add(np.zeros((box.height, box.width), np.uint8), None, box)
            return
        inside = box.within(slot.answer)
        labels = self._area.clip(np.ascontiguousarray(answer.labels[inside]), box)
        # Logits lie on every stride-th pixel, and the halo is a multiple of the stride.
        rows, columns = (
            slice(part.start // self._stride, -(-part.stop // self._stride)) for part in inside
        )
        confidence = answer.confidence[rows, columns]
        self._tracer.add(labels, confidence, box)
        self._rasters.place(labels, box)
        self._rasters.add_confidence(confidence, self._stride, box)
        if answer.probabilities is not None:
            self._rasters.add_heat(answer.probabilities[rows, columns], self._stride, box)

    def found(self) -> Iterator[TracedShape]:
        """Return the objects by their first pixels: from the top, each row from the left."""
        return self._tracer.finish()

    def close(self) -> None:
        """Remove the work files, of which there are none."""
