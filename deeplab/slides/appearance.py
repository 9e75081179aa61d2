"""How the stained tissue of a slide looks: how dark it is, and of which colour.

By the hue-saturation-density model (van der Laak et al. 2000, Cytometry 39:275): the optical
densities of red, green and blue are parted into their mean, which more stain or a thicker section
multiplies, and two chromas, which do not depend on it. Densities are against white, not against the
slide's glass: so a network sees them, and slides are compared with patches that show no glass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import block_reduce

from deeplab.geometry.frames import WorkFrame
from deeplab.slides.tissue import Thumbnail

# log2 of the mean optical density; of red against the mean; of green against blue.
FEATURES = ("density", "red chroma", "green chroma")
SQUARE_UM = 500.0  # side of the squares whose differences are measured
LEAST_TISSUE = 0.5  # of a square that is measured
LEAST_DENSITY = 0.01  # hardly darker than white: chroma is noise

Features = NDArray[np.float64]  # (..., 3), in the order of FEATURES


@dataclass(frozen=True, slots=True)
class StainMap:
    """The optical density of a thumbnail.

    Attributes:
        density: float32 (frame.height, frame.width, 3), of red, green and blue; 0 off the tissue.
        tissue: bool (frame.height, frame.width), without a margin around it.
        frame: of both.
    """

    density: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    frame: WorkFrame


@dataclass(frozen=True, slots=True)
class Appearance:
    """How the tissue of a slide looks.

    Attributes:
        features: float64 (3,), of the median densities.
        within: float64 (3,), standard deviations between its squares; None where it has one or
            none.
        squares: squares that would hold all of the tissue.
    """

    features: Features
    within: Features | None
    squares: float


def map_stain(thumbnail: Thumbnail) -> StainMap | None:
    """Return the optical density of a slide's tissue.

    None of a fluorescent slide, and where nothing tells tissue from glass.
    """
    tissue = thumbnail.stained
    if tissue is None or not tissue.any():
        return None
    density = -np.log10((np.arange(256, dtype=np.float32) + 1) / 256)[thumbnail.pixels]
    return StainMap(density * tissue[..., None], tissue, thumbnail.frame)


def measure_appearance(stain: StainMap | None) -> Appearance | None:
    """Return how the tissue of a map looks; None where there is hardly any."""
    if stain is None:
        return None
    features = features_of(np.median(stain.density[stain.tissue], axis=0))
    if not np.isfinite(features).all():
        return None
    pixel_um = stain.frame.work_mpp
    side = max(1, round(SQUARE_UM / pixel_um))
    counts = _block_sums(stain.tissue[..., None].astype(np.float32), side)[..., 0]
    sums = _block_sums(stain.density, side)
    measured = counts >= LEAST_TISSUE * side**2
    of_squares = features_of(sums[measured] / counts[measured, None])
    of_squares = of_squares[np.isfinite(of_squares).all(axis=1)]
    return Appearance(
        features,
        of_squares.std(axis=0, ddof=1) if len(of_squares) > 1 else None,
        float(stain.tissue.sum()) * pixel_um**2 / SQUARE_UM**2,
    )


def features_of(density: NDArray[np.floating]) -> Features:
    """Return the features (..., 3) of optical densities (..., 3); NaN where there is hardly any."""
    red, green, blue = np.moveaxis(density.astype(np.float64), -1, 0)
    mean = (red + green + blue) / 3
    mean = np.where(mean >= LEAST_DENSITY, mean, np.nan)
    chromas = red / mean - 1, (green - blue) / (math.sqrt(3) * mean)
    return np.stack([np.log2(mean), *chromas], axis=-1)


def _block_sums(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the sums of squares of `side` pixels of a map (h, w, depth), the last ones in part."""
    sums: NDArray[np.float32] = block_reduce(  # type: ignore[no-untyped-call]  # skimage has no types
        values, (side, side, 1), np.sum
    )
    return sums
