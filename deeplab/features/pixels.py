"""Colour, stain, texture, nuclei and PAS of the pixels of an object, or intensity of channels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from histomicstk.segmentation.positive_pixel_count import Parameters, count_image
from numpy.typing import NDArray

from deeplab.config.features_request import Staining
from deeplab.features import nuclei, texture
from deeplab.features.stains import STAINS, Rgb, stain_darkness
from deeplab.slides.pyramid import SeenChannel

MEASURES = ("mean", "std", "min", "max")
_CHANNELS = ("red", "green", "blue", "grey")
_COLOURS = tuple(f"{name}_{of}" for name in _CHANNELS for of in MEASURES)
_STAINS = tuple(f"{name}_{of}" for name in STAINS for of in ("mean", "std"))
_PAS = ("pas_positive_area_um2", "pas_positive_share")
COLUMNS = (*_COLOURS, *_STAINS, *texture.COLUMNS, *nuclei.COLUMNS, *_PAS)

# The defaults of HistomicsTK's PositivePixelCount: magenta, as PAS is; haematoxylin is bluer.
MAGENTA = Parameters(
    hue_value=0.83,
    hue_width=0.15,
    saturation_minimum=0.05,
    intensity_upper_limit=0.95,
    intensity_weak_threshold=0.65,
    intensity_strong_threshold=0.35,
    intensity_lower_limit=0.05,
)


def measure_pixels(
    rgb: Rgb, mask: NDArray[np.bool_], *, work_mpp: float, staining: Staining
) -> dict[str, float]:
    """Return every one of `COLUMNS` of the pixels in the mask; NaN where there is none.

    Args:
        rgb: (height, width, 3), a window around the object.
        mask: (height, width), the object.
        work_mpp: um per pixel along x and y.
        staining: "he" has no columns of PAS, "pas" none of eosin: they are NaN.

    Raises:
        ValueError: the mask is not of the window's size.
    """
    _check_size(rgb, mask)
    found = dict.fromkeys(COLUMNS, float("nan"))
    if not mask.any():
        return found
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    found |= _colours(np.column_stack([rgb[mask], grey[mask]]).astype(float))
    darkness = stain_darkness(rgb, staining)
    for name, values in darkness.items():
        found[f"{name}_mean"] = float(values[mask].mean())
        found[f"{name}_std"] = float(values[mask].std())
    found |= texture.measure_texture(grey, mask)
    found |= nuclei.measure_nuclei(darkness[STAINS[0]], mask, work_mpp)
    if staining == "pas":
        found |= _positive(rgb[mask], work_mpp)
    return found


def _colours(values: NDArray[np.float64]) -> dict[str, float]:
    """`_COLOURS` of pixels (n, 4)."""
    return dict(zip(_COLOURS, _measures(values), strict=True))


def _positive(pixels: NDArray[np.uint8], work_mpp: float) -> dict[str, float]:
    """`_PAS` of pixels (n, 3)."""
    _, kinds = count_image(pixels[:, None], MAGENTA)
    count = np.count_nonzero(kinds)
    return dict(zip(_PAS, (count * work_mpp**2, count / len(pixels)), strict=True))


def intensity_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Return what is measured of channels of these names: the mean, ... of each."""
    return tuple(f"{name}_{of}" for name in names for of in MEASURES)


def measure_intensity(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], channels: Sequence[SeenChannel]
) -> dict[str, float]:
    """Return every one of `intensity_columns` of the pixels in the mask; NaN where there is none.

    Args:
        pixels: (height, width, channels), a window around the object.
        mask: (height, width), the object.
        channels: of the pixels, whose windows say which values of the slide their bytes are.

    Raises:
        ValueError: the mask is not of the window's size.
    """
    _check_size(pixels, mask)
    columns = intensity_columns([channel.name for channel in channels])
    if not mask.any():
        return dict.fromkeys(columns, float("nan"))
    low = np.array([channel.window.low for channel in channels])
    high = np.array([channel.window.high for channel in channels])
    values = low + pixels[mask] / 255 * (high - low)
    return dict(zip(columns, _measures(values), strict=True))


def _measures(values: NDArray[np.float64]) -> list[float]:
    """Return `MEASURES` of each column of values (n, columns), one column after the other."""
    rows = values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)
    measured: list[float] = np.column_stack(rows).ravel().tolist()
    return measured


def _check_size(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
    if pixels.shape[:2] != mask.shape:
        raise ValueError(f"a mask of {mask.shape} on a window of {pixels.shape[:2]}")
