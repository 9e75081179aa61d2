"""What the network should answer for a patch."""

from __future__ import annotations

from deeplab.annotations.raster.rasterize import LABEL_SET, Truth
from deeplab.models.dense.label_sets import target_of_set
from deeplab.models.family import Targets
from deeplab.models.outputs import SEMANTIC_LOGITS


def encode(_: object, truth: Truth) -> Targets:
    """Return the target of each output: here the labels uint8 (h, w) themselves, 255 to ignore.

    Labels of further sets are targets of the same output.
    """
    further = {
        target_of_set(kind.removeprefix(LABEL_SET)): labels
        for kind, labels in truth.items()
        if kind.startswith(LABEL_SET)
    }
    return {SEMANTIC_LOGITS: truth["labels"], **further}
