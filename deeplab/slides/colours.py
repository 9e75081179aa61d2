"""Pixels of any kind as RGB bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY_BANDS = (1, 2)  # grey; grey and alpha
ALPHA_BANDS = (2, 4)
FRACTION = 1.001  # what fractions of 1 may be, once they were resampled
# Bits of cameras, whose values stand in more; of a signed number one bit is the sign.
DEPTHS = (8, 10, 12, 14, 15, 16, 24, 31, 32, 63, 64)


def to_rgb(pixels: NDArray[Any], *, top: float = 0.0) -> NDArray[np.uint8]:
    """`pixels` (height, width[, bands]) as uint8 (height, width, 3).

    Numbers are scaled by `top`, the value of full brightness; where it is 0, whole numbers by their
    type's range, fractions by 1. Grey becomes RGB, what is transparent stands on white, and of more
    than four bands the first three are taken.
    """
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    bands = pixels.shape[2]
    pixels = _to_bytes(pixels[:, :, : min(bands, 4)] if bands <= 4 else pixels[:, :, :3], top)
    colour = pixels[:, :, :1] if bands in GREY_BANDS else pixels[:, :, :3]
    if bands in ALPHA_BANDS:
        colour = _over_white(colour, pixels[:, :, -1:])
    if colour.shape[2] == 1:
        colour = np.repeat(colour, 3, axis=2)
    return np.ascontiguousarray(colour)


def channels_to_rgb(pixels: NDArray[Any], *, top: float = 0.0) -> NDArray[np.uint8]:
    """Channels (height, width, channels), none of them alpha, as `to_rgb`.

    The first three are red, green and blue; of two, blue is dark; one is grey.
    """
    height, width, count = pixels.shape
    if count == 2:
        pixels = np.concatenate([pixels, np.zeros((height, width, 1), pixels.dtype)], axis=2)
    return to_rgb(pixels[:, :, :3], top=top)


def top_of(pixels: NDArray[Any]) -> float:
    """Return the value of full brightness that samples of a slide tell; 0: that of their type.

    A camera of 12 bits leaves the upper ones of 16 empty; fractions reach 1, or the range of the
    whole numbers that they were made of.
    """
    if pixels.dtype.kind not in "iuf" or pixels.dtype.itemsize == 1 or not pixels.size:
        return 0.0
    most = float(np.nan_to_num(pixels).max())
    if pixels.dtype.kind == "f" and most <= FRACTION:
        return 1.0
    needed = max(0, math.floor(most)).bit_length()
    return float(2 ** next((depth for depth in DEPTHS if depth >= needed), 0) - 1)


def kind_of(bands: int, dtype: np.dtype[Any]) -> str:
    """Return the kind of pixels of so many `bands` without alpha, in words; "" for RGB bytes."""
    colours = {1: "grey", 3: ""}.get(bands, f"{bands} channels")
    if dtype == np.uint8:
        return colours
    depth = f"{8 * dtype.itemsize} bit" if dtype.kind in "iu" else str(dtype)
    return f"{colours or 'RGB'}, {depth}"


def _to_bytes(pixels: NDArray[Any], top: float) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8 and top in (0.0, 255.0):
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    top = top or (1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max))
    fraction = np.clip(np.nan_to_num(pixels.astype(np.float64)) / top, 0, 1)
    return (fraction * 255 + 0.5).astype(np.uint8)


def _over_white(colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if alpha.min() == 255:
        return colour
    share = alpha.astype(np.uint16)
    mixed = colour * share + np.uint16(255) * (255 - share)  # at most 255 * 255: fits
    return ((mixed + np.uint16(127)) // 255).astype(np.uint8)
