"""Pictures on which a runtime is tried: tissue made of noise, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deeplab.config.channels import RGB, Channels

PIXELS = 250_000  # of all pictures: a label in a hundred thousand can be seen
MOST = 8  # pictures
NUCLEI_PX = (2, 4, 7, 12)  # how large they are, a band of the picture for each
FAINTEST, DARKEST = 0.4, 1.5  # optical density of nuclei at the left and the right edge
# Absorption of haematoxylin and eosin in red, green and blue: Ruifrok and Johnston, 2001.
HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)
GLASS, GROUND = 245.0, 8.0


def trial_tiles(side: int, channels: Channels = RGB) -> NDArray[np.uint8]:
    """Pictures that ask a network all it can be asked, uint8 (n, side, side, channels).

    Of colours they are H&E-like; of other channels each shows the nuclei alone, bright on dark.

    Nuclei of four sizes lie in pink stroma, from hardly to darkly stained, with soft edges: where
    labels change, runtimes differ. They depend on `side` and the kind of channels, nothing else.
    """
    count = min(MOST, -(-PIXELS // side**2))
    return np.stack([_picture(side, number, channels) for number in range(count)])


def _picture(side: int, number: int, channels: Channels) -> NDArray[np.uint8]:
    rng = np.random.default_rng([side, number])

    def field(width_px: float) -> NDArray[np.float64]:
        """Noise of mean 0 and spread 1 with structures of this width."""
        noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), width_px, mode="wrap")
        even: NDArray[np.float64] = (noise - noise.mean()) / noise.std()
        return even

    nuclei, stroma = np.zeros((2, side, side))
    bounds = np.linspace(0, side, len(NUCLEI_PX) + 1).astype(int)
    for width_px, first, last in zip(NUCLEI_PX, bounds[:-1], bounds[1:], strict=True):
        band = np.s_[first:last]
        nuclei[band] = _soft(4 * (field(width_px) - 0.9))[band]
        stroma[band] = _soft(2 * field(4 * width_px))[band]
    stain = np.linspace(FAINTEST, DARKEST, side) * nuclei * (1 + 0.2 * field(1))
    if not channels.are_colours:
        # Each channel shows more of other cells, and some of all.
        shares = np.linspace(1, 0.4, len(channels)) * (stain / DARKEST)[..., None]
        noise = rng.normal(0, 3, (side, side, len(channels)))
        return np.clip(GROUND + (255 - GROUND) * shares + noise, 0, 255).astype(np.uint8)
    pink = 0.15 + 0.35 * stroma * (1 - nuclei)
    density = stain[..., None] * HAEMATOXYLIN + pink[..., None] * EOSIN
    rgb = GLASS * np.exp(-density) + rng.normal(0, 3, (side, side, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def _soft(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-values))
