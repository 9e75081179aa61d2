"""What the network should answer for a patch."""

from __future__ import annotations

from deeplab.annotations.raster.rasterize import Truth
from deeplab.models.family import Targets
from deeplab.models.outputs import SEMANTIC_LOGITS


def encode(_: object, truth: Truth) -> Targets:
    """Return the target of each output: here the labels uint8 (h, w) themselves, 255 to ignore."""
    return {SEMANTIC_LOGITS: truth["labels"]}
