"""Nuclei of a patch as what HoVer-Net's three branches should answer for it.

Graham 2019, arXiv:1812.06499: np, which pixels are nuclei; hv, where in its nucleus a pixel lies,
from -1 at the left or upper end over 0 to 1 at the right or lower end; tp, of which type it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from deeplab.config.classes import IGNORE
from deeplab.config.nuclei import Convention

LEAST_AREA = 30  # px in the answered part, below which the public code gives no hv map
BOX_GROWTH = 2  # px by which the public code widens the box of an instance

Instances = NDArray[np.int32]  # (height, width), 0 is background
Inner = tuple[slice, slice]  # rows and columns of a patch that the network answers


class TargetConfig(Protocol):
    """What targets depend on."""

    @property
    def convention(self) -> Convention:
        """Of the hv maps."""

    @property
    def margin(self) -> int:
        """Pixels at each side of a patch that the network does not answer."""

    @property
    def type_count(self) -> int:
        """Types without the background; 0: the network tells none apart."""


def encode(config: TargetConfig, truth: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the targets of a patch, for its middle that the network answers.

    Args:
        config: of the network.
        truth: "instances" int32 (h, w), 0 where there is no nucleus, and "labels" uint8 (h, w),
            the type of each pixel, IGNORE where it is not known.

    Returns:
        "np" uint8 (h', w'): 1 on nuclei, IGNORE where it is not known whether there is one;
        "hv" float32 (h', w', 2), horizontal and vertical, 0 outside of nuclei; and, where the
        network tells types apart, "tp" uint8 (h', w'), IGNORE on nuclei of no known type, too.
    """
    instances, labels = truth["instances"], truth["labels"]
    rows, columns = (slice(config.margin, length - config.margin) for length in instances.shape)
    inner = (rows, columns)
    is_nucleus = instances[inner] > 0
    types = labels[inner]
    targets: dict[str, NDArray[Any]] = {
        "np": np.where(~is_nucleus & (types == IGNORE), IGNORE, is_nucleus).astype(np.uint8),
        "hv": HV_MAPS[config.convention](instances, inner),
    }
    if config.type_count:
        targets["tp"] = np.where(is_nucleus & (types == 0), IGNORE, types).astype(np.uint8)
    return targets


def local_hv_map(instances: Instances, inner: Inner) -> NDArray[np.float32]:
    """Return the hv map of `inner`, float32 (h', w', 2): 0 on centroids, -1 and 1 at the ends.

    A nucleus that is cut by `inner` keeps the map of all that the patch shows of it.
    """
    rows, columns = np.nonzero(instances)
    ids = _numbered(instances[rows, columns])
    is_answered = np.zeros(instances.shape, bool)
    is_answered[inner] = True
    kept = (np.bincount(ids, is_answered[rows, columns]) > 0)[ids]
    rows, columns, ids = rows[kept], columns[kept], ids[kept]
    areas = np.maximum(np.bincount(ids), 1)
    hv = np.zeros((*instances.shape, 2), np.float32)
    for channel, places in enumerate((columns, rows)):
        centroids = np.bincount(ids, places) / areas
        hv[rows, columns, channel] = _scaled(places - centroids[ids], ids)
    return hv[inner]


def original_hv_map(instances: Instances, inner: Inner) -> NDArray[np.float32]:
    """Return the hv map of `inner`, float32 (h', w', 2), as the public code computes it.

    Parts of one id are instances of their own, those with less than 30 px in `inner` have none,
    and the zero is a pixel above and left of the rounded centroid. The box of an instance, two
    pixels wider, is cut out by a slice; above or left of the patch it begins at a negative number,
    which counts from the other end.
    """
    parts: Instances = label(  # type: ignore[no-untyped-call]  # skimage has no types
        instances, background=0, connectivity=1
    )
    areas_inside = np.bincount(parts[inner].ravel(), minlength=int(parts.max(initial=0)) + 1)
    rows, columns = np.nonzero(parts)
    ids = parts[rows, columns]
    kept = areas_inside[ids] >= LEAST_AREA
    for places, length in zip((rows, columns), instances.shape, strict=True):
        first = np.full(len(areas_inside), length)
        np.minimum.at(first, ids, places)
        # A box of a single row or column is passed over.
        start = np.where(first == 0, length - BOX_GROWTH, np.where(first == 1, length, 0))
        kept &= places >= start[ids]
    rows, columns, ids = rows[kept], columns[kept], ids[kept]
    areas = np.maximum(np.bincount(ids), 1)
    hv = np.zeros((*instances.shape, 2), np.float32)
    for channel, places in enumerate((columns, rows)):
        sums = np.bincount(ids, places).astype(np.int64)
        zeros = (2 * sums + areas) // (2 * areas) - 1  # rounded half up
        hv[rows, columns, channel] = _scaled(places - zeros[ids], ids)
    return hv[inner]


HV_MAPS: Mapping[Convention, Callable[[Instances, Inner], NDArray[np.float32]]] = {
    "local": local_hv_map,
    "original": original_hv_map,
}


def _scaled(offsets: NDArray[Any], ids: NDArray[np.integer]) -> NDArray[np.float32]:
    """Divide the offsets (pixels,) of each id by its greatest on their side of 0: -1 to 1."""
    offsets = offsets.astype(np.float32)
    greatest = np.zeros((2, int(ids.max(initial=0)) + 1), np.float32)
    side = (offsets > 0).astype(np.intp)
    np.maximum.at(greatest, (side, ids), np.abs(offsets))
    divisors = greatest[side, ids]
    divisors[offsets == 0] = 1  # there may be nothing else on that side
    scaled: NDArray[np.float32] = offsets / divisors
    return scaled


def _numbered(ids: NDArray[np.int32]) -> NDArray[np.integer]:
    """Return ids (pixels,) that are small enough to count by; a file's may be any."""
    if ids.max(initial=0) <= len(ids):
        return ids
    numbers: NDArray[np.intp] = np.unique(ids, return_inverse=True)[1]
    return numbers
