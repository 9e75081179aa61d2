"""Detections in a map of probabilities: peaks, each of which is the highest around it.

Liu et al. 2017, arXiv:1703.02442, made detections of metastases so: what connected regions above a
threshold would join, or lose, has a place and a confidence of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

PEAK_UM = 200.0  # the smallest lesion that counts; one has hardly two peaks then


def find_peaks(
    points_um: NDArray[np.float64], values: NDArray[np.float64], reach_um: float = PEAK_UM
) -> NDArray[np.intp]:
    """Return which points are peaks, the highest first.

    The highest point of all is one, and none within its reach is; so with the points that are left.

    Args:
        points_um: (n, 2), um.
        values: (n,); of equal ones the first goes before.
        reach_um: how far around a peak is no other.
    """
    tree = cKDTree(points_um)
    is_free = np.ones(len(values), np.bool_)
    peaks = []
    for place in np.argsort(-values, kind="stable"):
        if is_free[place]:
            peaks.append(place)
            is_free[tree.query_ball_point(points_um[place], reach_um)] = False
    return np.array(peaks, np.intp)
