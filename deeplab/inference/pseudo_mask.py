"""Which class each pixel of a patch speaks most for, of the classes that the patch has.

Multi-layer pseudo-supervision (Han et al. 2022, arXiv:2110.08048) learns from such masks. Classes
are compared with each other at a pixel, so it does not matter how activations are scaled.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pseudo_mask(
    activation: NDArray[np.float32],
    present: NDArray[np.bool_],
    background: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Return the class of each pixel, uint8 (h, w), from 0 on; one more than the last is none.

    The first of two classes wins where they speak alike. The original lets a pixel for which no
    class speaks fall to the first of all classes, even where the patch has not that one; here it
    is the first that the patch has.

    Args:
        activation: what speaks for each class, (h, w, classes).
        present: the classes that the patch has, (classes,).
        background: pixels that are of no class, (h, w); None: all are of one, if there is one.
    """
    none = np.uint8(activation.shape[2])
    if not present.any():
        return np.full(activation.shape[:2], none)
    mask: NDArray[np.uint8] = np.where(present, activation, -np.inf).argmax(axis=2).astype(np.uint8)
    if background is not None:
        mask[background] = none
    return mask
