"""How much of each stain a pixel holds, by HistomicsTK's colour deconvolution."""

from __future__ import annotations

import numpy as np
from histomicstk.preprocessing.color_conversion import rgb_to_sda
from histomicstk.preprocessing.color_deconvolution import color_deconvolution, stain_color_map
from numpy.typing import NDArray
from skimage.color import rgb_from_hpx

from deeplab.config.features_request import Staining

Rgb = NDArray[np.uint8]  # (height, width, 3)

_NONE = [0.0, 0.0, 0.0]  # deconvolution completes it by what the two cannot explain
STAINS = ("haematoxylin", "eosin", "pas")
# HistomicsTK has no colours for PAS; scikit-image has them as measured for ImageJ's plug-in.
STAININGS: dict[Staining, tuple[tuple[str, str], NDArray[np.float64]]] = {
    "he": (
        STAINS[:2],
        np.array([stain_color_map["hematoxylin"], stain_color_map["eosin"], _NONE]).T,
    ),
    "pas": (
        (STAINS[0], STAINS[2]),
        np.array([rgb_from_hpx[0], rgb_from_hpx[1], _NONE]).T,
    ),
}


def stain_darkness(rgb: Rgb, staining: Staining) -> dict[str, NDArray[np.float64]]:
    """Return the two stains' darkness in each pixel, (height, width), by their names.

    HistomicsTK's scale, in proportion to the amount of stain: 0 is none, 255 black; below 0 where
    a colour is less than none of a stain. Source: Ruifrok and Johnston 2001.
    """
    names, colours = STAININGS[staining]
    light = color_deconvolution(rgb, colours).StainsFloat
    darkness = rgb_to_sda(light, None, allow_negatives=True)
    return {name: darkness[..., place] for place, name in enumerate(names)}
