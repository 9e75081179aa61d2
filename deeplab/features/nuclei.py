"""Nuclei inside an object: dark in haematoxylin, parted from each other as HistomicsTK does."""

from __future__ import annotations

import math

import numpy as np
from histomicstk.segmentation.nuclear import detect_nuclei_kofahi
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from deeplab.features.slide_summary import UM2_PER_MM2

Floats = NDArray[np.float64]

COLUMNS = ("nucleus_count", "nucleus_area_um2", "nucleus_density_per_mm2")

MAX_MPP = 1.0  # um per pixel; in coarser ones a nucleus is no longer a disc
# The defaults of HistomicsTK's NucleiDetection, which are in pixels of 0.5 um.
MIN_RADIUS_UM, MAX_RADIUS_UM = 3.0, 5.0
APART_UM = 5.0
MIN_AREA_UM2 = 20.0
BLUR_UM = 0.5
GLASS = 10.0  # haematoxylin darkness below which there is no cell that Otsu should weigh
FAINT = 20.0  # what is lighter is no nucleus, whatever the rest of the object


def measure_nuclei(
    haematoxylin: Floats, mask: NDArray[np.bool_], work_mpp: float
) -> dict[str, float]:
    """Every one of `COLUMNS`; NaN where pixels are coarser than `MAX_MPP` or none is in the mask.

    Nuclei across the object's edge count as far as they are inside, if that is `MIN_AREA_UM2`.

    Args:
        haematoxylin: (height, width), darkness from 0 to 255.
        mask: (height, width), the object.
        work_mpp: um per pixel along x and y.
    """
    if work_mpp > MAX_MPP or not mask.any():
        return dict.fromkeys(COLUMNS, float("nan"))
    nuclei = segment_nuclei(haematoxylin, mask, work_mpp)
    count = np.unique(nuclei[nuclei > 0]).size
    area_mm2 = np.count_nonzero(mask) * work_mpp**2 / UM2_PER_MM2
    values = count, np.count_nonzero(nuclei) * work_mpp**2, count / area_mm2
    return dict(zip(COLUMNS, map(float, values), strict=True))


def segment_nuclei(
    haematoxylin: Floats, mask: NDArray[np.bool_], work_mpp: float
) -> NDArray[np.int64]:
    """Return the number of the nucleus that each pixel belongs to, 0 for none, (height, width).

    Otsu's threshold of the object's stained pixels, then seeds and watersheds of their own by
    Al-Kofahi et al. 2010, IEEE Trans Biomed Eng 57:841.
    """
    dark = gaussian_filter(haematoxylin, BLUR_UM / work_mpp)
    stained = dark[mask & (dark > GLASS)]
    none = np.zeros(mask.shape, np.int64)
    if not stained.size:
        return none
    otsu = threshold_otsu(stained)  # type: ignore[no-untyped-call]
    foreground = mask & (dark > max(otsu, FAINT))
    if not foreground.any():
        return none
    # It takes the stain as light: dark is low.
    nuclei = detect_nuclei_kofahi(
        255 - dark,
        foreground,
        MIN_RADIUS_UM / work_mpp,
        MAX_RADIUS_UM / work_mpp,
        math.ceil(MIN_AREA_UM2 / work_mpp**2),
        APART_UM / work_mpp,
    )
    # It smooths the edge, beyond the object too.
    return np.where(mask, nuclei, 0).astype(np.int64)
