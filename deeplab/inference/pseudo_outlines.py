"""Pseudo masks of the patches of a slide, to outlines that run on over the seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.shapes import Layer
from deeplab.annotations.trace.outlines import SeamTracer
from deeplab.annotations.trace.simplify import simplify
from deeplab.bundles.card import Card
from deeplab.geometry.frames import Mpp, WorkBox, WorkFrame
from deeplab.geometry.grid import TileSlot
from deeplab.inference.layers import make_layers
from deeplab.inference.plan import Area
from deeplab.inference.pseudo_mask import pseudo_mask
from deeplab.slides.tissue import TissueMask

NAMED = "{}-pseudo-mask"  # the layer of a class; one of the class's name has its patches


class PseudoOutlines:
    """Takes the patches of a plan in reading order, and outlines what speaks most for each class.

    Args:
        area: what the patches cover together.
        tissue: outside of it there is nothing; None: anywhere there may be something.
    """

    def __init__(self, area: Area, tissue: TissueMask | None) -> None:
        self._area, self._tissue = area, tissue
        self._tracer = SeamTracer(area.frame, area.box)

    def add(
        self, slot: TileSlot, activation: NDArray[np.float32] | None, taken: Sequence[int]
    ) -> None:
        """Take the next patch.

        Args:
            slot: where it is.
            activation: what in it speaks for each class, (side, side, classes); None: it was passed
                over.
            taken: the numbers of the classes that it is taken for, from 0 on.
        """
        box = slot.write
        labels = np.zeros((box.height, box.width), np.uint8)
        if activation is not None and taken:
            presence = np.isin(np.arange(activation.shape[2]), taken)
            labels = pseudo_mask(activation[box.within(slot.read)], presence) + np.uint8(1)
            if self._tissue:
                labels[~_tissue_in(self._tissue, self._area.frame, box)] = 0
            labels = self._area.clip(labels, box)
        self._tracer.add(labels, None, box)

    def layers(self, card: Card, mpp: Mpp, remark: str) -> list[Layer]:
        """Return a layer a class with a remark, outlines simpler by a work pixel at most."""
        frame = self._area.frame
        found = simplify(self._tracer.finish(), frame.work_mpp, mpp)
        layers = make_layers(found, card, frame, remark).layers
        return [replace(layer, name=NAMED.format(layer.name)) for layer in layers]


def _tissue_in(tissue: TissueMask, frame: WorkFrame, box: WorkBox) -> NDArray[np.bool_]:
    """Return where in a box of work pixels there is tissue, (box.height, box.width)."""
    coarse = tissue.frame
    rows = (np.arange(box.y, box.bottom) + 0.5) * (frame.scale_y / coarse.scale_y)
    columns = (np.arange(box.x, box.right) + 0.5) * (frame.scale_x / coarse.scale_x)
    found: NDArray[np.bool_] = tissue.mask[
        np.ix_(
            rows.astype(int).clip(0, coarse.height - 1),
            columns.astype(int).clip(0, coarse.width - 1),
        )
    ]
    return found
