"""Nuclei of a picture in which some are marked by a disc: where they end, and what is not known.

A disc says where a nucleus is, not how far it reaches. Haematoxylin takes red from the light, so
the nucleus is what around the disc's middle is darker in red than half way to what surrounds it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

CORE = 0.6  # share of a disc's radius that is nucleus for sure
REACH, SURROUND = 1.35, 1.9  # shares up to which a nucleus may reach, and its surroundings do
PALE_RED = 175  # of 255; no nucleus of these images is paler in red
BLUR = 1.5  # px, standard deviation
SMOOTH = 3  # px, half the width of what is no part of a nucleus
DOUBT = 2  # px around what is dark that may be an edge


def nuclei_around_discs(rgb: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nuclei, int32 (h, w), and where it is not known whether there is one, (h, w).

    Args:
        rgb: uint8 (h, w, 3), H&E.
        mask: uint8 (h, w), 255 in discs of one size; most of them stand alone.
    """
    inside = mask > 127
    discs, _ = ndimage.label(inside)
    radius = math.sqrt(np.median(np.bincount(discs.ravel())[1:]) / math.pi)
    cores, count = ndimage.label(ndimage.distance_transform_edt(inside) > radius * (1 - CORE))
    beyond, (rows, columns) = ndimage.distance_transform_edt(cores == 0, return_indices=True)
    owner = cores[rows, columns]
    away = beyond / radius + CORE  # from the middle, in radii

    red = ndimage.gaussian_filter(rgb[..., 0].astype(np.float32), BLUR)
    numbers = np.arange(1, count + 1)
    around = np.where((away > REACH) & (away < SURROUND) & ~inside, owner, 0)
    limits = (ndimage.mean(red, cores, numbers) + ndimage.median(red, around, numbers)) / 2
    is_dark = red < np.append(0, np.nan_to_num(limits))[owner]

    nuclei = np.zeros(mask.shape, np.int32)
    for number, box in enumerate(ndimage.find_objects(owner), start=1):
        core = cores[box] == number
        near = (owner[box] == number) & (away[box] < REACH)
        part = ndimage.binary_fill_holes((is_dark[box] & near) | core) & near
        part = ndimage.binary_opening(part, iterations=SMOOTH) | core
        pieces, _ = ndimage.label(part)
        nuclei[box][np.isin(pieces, pieces[core])] = number

    doubtful = ndimage.binary_dilation(ndimage.binary_fill_holes(red < PALE_RED), iterations=DOUBT)
    # Around a nucleus it is known better what is dark.
    known = (away < REACH) & ~ndimage.binary_dilation(is_dark | (nuclei > 0), iterations=DOUBT)
    return nuclei, doubtful & ~known & (nuclei == 0)
