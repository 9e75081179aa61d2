"""Pixels of any kind as RGB bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY_BANDS = (1, 2)  # grey; grey and alpha
ALPHA_BANDS = (2, 4)


def to_rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """`pixels` (height, width[, bands]) as uint8 (height, width, 3).

    Whole numbers are scaled by their type's range, fractions from 0 to 1. Grey becomes RGB, what
    is transparent stands on white, and of more than four bands the first three are taken.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    bands = pixels.shape[2]
    pixels = _to_bytes(pixels[:, :, : min(bands, 4)] if bands <= 4 else pixels[:, :, :3])
    colour = pixels[:, :, :1] if bands in GREY_BANDS else pixels[:, :, :3]
    if bands in ALPHA_BANDS:
        colour = _over_white(colour, pixels[:, :, -1:])
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    return np.ascontiguousarray(colour)


def _to_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    fraction = np.clip(np.nan_to_num(pixels.astype(np.float64)) / top, 0, 1)
    return (fraction * 255 + 0.5).astype(np.uint8)


def _over_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if alpha.min() == 255:
        return colour
    share = alpha.astype(np.uint16)
    mixed = colour * share + np.uint16(255) * (255 - share)  # at most 255 * 255: fits
    return ((mixed + np.uint16(127)) // 255).astype(np.uint8)
