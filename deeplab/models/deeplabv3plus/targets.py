"""What the network should answer for a tile of labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeplab.models.outputs import SEMANTIC_LOGITS


def encode(labels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Targets by the output they are for: here the labels (h, w) themselves, 255 to ignore."""
    return {SEMANTIC_LOGITS: labels}
