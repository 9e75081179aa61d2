"""More or less of each stain, in the space of stain darkness that HistomicsTK deconvolves in.

A pixel's darkness is -log((value + 1) / 256), scaled so that 255 is black; each stain adds a
multiple of its own colour. The arithmetic is that of HistomicsTK's `color_deconvolution` and
`perturb_stain_concentration` as one matrix product in float32.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]  # (height, width, 3)

# Colours of haematoxylin and eosin by HistomicsTK's `stain_color_map`, and what neither can
# explain; rows of unit length (Ruifrok and Johnston 2001, Anal Quant Cytol Histol 23:291).
_HAEMATOXYLIN, _EOSIN = [0.65, 0.70, 0.29], [0.07, 0.99, 0.11]
STAINS = np.array([_HAEMATOXYLIN, _EOSIN, np.cross(_HAEMATOXYLIN, _EOSIN)])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
UNMIX = np.linalg.inv(STAINS)

DARKEST = 255.0  # darkness of black
_DARKNESS = (-np.log((np.arange(256) + 1) / 256) * DARKEST / math.log(256)).astype(np.float32)


def restain(
    rgb: Rgb,
    *,
    amounts: NDArray[np.float64],
    grounds: NDArray[np.float64],
    stains: NDArray[np.float64] = STAINS,
) -> Rgb:
    """Return the patch as it were with other stains.

    Args:
        rgb: (height, width, 3).
        amounts: (3,) factors of haematoxylin, eosin and the residual.
        grounds: (3,) darkness of each that is added everywhere, 0 to 255.
        stains: (3, 3) their new colours, rows of unit length.
    """
    per_darkness = UNMIX @ np.diag(amounts) @ stains
    # What leads from darkness back to light is taken into the matrix.
    to_log = -math.log(256) / DARKEST
    matrix = np.column_stack([per_darkness.T * to_log, (grounds @ stains) * to_log + math.log(256)])
    darkness = cv2.LUT(rgb, _DARKNESS)
    light = cv2.exp(cv2.transform(darkness, matrix.astype(np.float32)))
    return np.asarray(cv2.addWeighted(light, 1, light, 0, -1, dtype=cv2.CV_8U), np.uint8)
