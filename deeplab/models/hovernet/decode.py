"""HoVer-Net's maps of a tile as nuclei, one by one.

Graham 2019, arXiv:1812.06499, section III-B: where a nucleus ends and the next one begins, the hv
maps fall from 1 to -1. What does not fall is the middle of a nucleus, a marker, and from markers
a watershed floods the pixels of nuclei.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.config.nuclei import Convention
from deeplab.models.answers import ObjectAnswer

NUCLEUS = 0.5  # probability from which a pixel is of a nucleus
LEAST_AREA = 10  # px of a nucleus, and of a marker
ORIGINAL_KERNEL = 21  # px, of the public code's Sobel filters
ORIGINAL_ENERGY = 0.4  # from which a pixel is none of a marker
# What hv may fall at a marker over the filter's standard deviation. Between two touching nuclei
# it falls by 0.8. In the middle of a nucleus it rises; that where it is flat is no middle parts
# nuclei that 0.05 left in one: on the 30 training images looked at PQ rose from 0.68 to 0.70.
MARKER_FALL = 0.0
LONE_AREA = 30  # px from which a part of the mask in which no marker survives is one nucleus
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
ORIGINAL_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

Probability = NDArray[np.float32]  # (height, width), of a nucleus
HvMap = NDArray[np.float32]  # (height, width, 2), horizontal, vertical
Mask = NDArray[np.bool_]  # (height, width)
Instances = NDArray[np.int32]  # (height, width), 0 is background


class DecodeConfig(Protocol):
    """What decoding depends on."""

    @property
    def convention(self) -> Convention:
        """Of the hv maps."""

    @property
    def edge_kernel(self) -> int:
        """Side of the filters that find where hv falls, work pixels, odd; of "local" only."""

    @property
    def type_count(self) -> int:
        """Types without the background; 0: the network tells none apart."""


def decode(config: DecodeConfig, maps: Mapping[str, NDArray[Any]]) -> ObjectAnswer:
    """Return the nuclei of a tile.

    Each has the type that most of its pixels have, the lowest of equals, 0 where none has one.

    Args:
        config: of the network.
        maps: "np" float32 (h, w), probability of a nucleus; "hv" float32 (h, w, 2); and, where
            the network tells types apart, "tp" uint8 (h, w), the likeliest type of each pixel.
    """
    probability = np.asarray(maps["np"], np.float32)
    hv = np.asarray(maps["hv"], np.float32)
    flooded = SEPARATORS[config.convention](probability, hv, config.edge_kernel)
    instances, count = _renumbered(flooded)
    places = np.flatnonzero(instances)
    ids = instances.ravel()[places] - 1
    areas = np.bincount(ids, minlength=count)
    sums = np.bincount(ids, probability.ravel()[places], minlength=count)
    labels, shares = np.ones(count, np.uint8), None
    if config.type_count:
        labels, shares = _vote(ids, maps["tp"].ravel()[places], areas, config.type_count + 1)
    return ObjectAnswer(
        instances=instances,
        labels=labels,
        confidence=(sums / areas).astype(np.float32),
        label_probability=shares,
    )


def separate_local(probability: Probability, hv: HvMap, kernel: int) -> Instances:
    """Return nuclei that depend on what is around them only, int32 (h, w), ids with gaps.

    The derivatives are taken with a standard deviation of sqrt(kernel - 1) / 2 px and multiplied
    by it, so that a fall between two nuclei has one depth whatever the kernel.
    """
    nuclei = _label(probability >= NUCLEUS, LEAST_AREA)
    is_nucleus = nuclei > 0
    derive, smooth = cv2.getDerivKernels(1, 0, kernel, normalize=True, ktype=cv2.CV_32F)
    hv = np.clip(hv, -1, 1)
    rise = np.minimum(
        cv2.sepFilter2D(np.ascontiguousarray(hv[..., 0]), cv2.CV_32F, derive, smooth),
        cv2.sepFilter2D(np.ascontiguousarray(hv[..., 1]), cv2.CV_32F, smooth, derive),
    )
    fall = rise * np.float32(-np.sqrt(kernel - 1) / 2)
    # A hole of background stays open: what surrounds it need not be one nucleus.
    middles = _without_holes(is_nucleus & (fall < MARKER_FALL)) & is_nucleus
    markers = _label(_opened(middles, CROSS), LEAST_AREA)
    markers = _with_lone_nuclei(markers, nuclei)
    landscape = cv2.GaussianBlur(np.where(is_nucleus, fall, np.float32(0)), (3, 3), 0)
    return _flooded_fast(landscape, markers, is_nucleus)


def separate_original(probability: Probability, hv: HvMap, _: int) -> Instances:
    """Return the nuclei of a tile as the public code finds them, int32 (h, w), ids with gaps.

    Maps and derivatives are scaled by the least and the greatest value of the whole tile.
    """
    is_nucleus = _label(probability >= NUCLEUS, LEAST_AREA) > 0
    energy = np.maximum(
        *(
            1
            - _stretched(
                cv2.Sobel(_stretched(hv[..., i]), cv2.CV_64F, *axis, ksize=ORIGINAL_KERNEL)
            )
            for i, axis in enumerate(((1, 0), (0, 1)))
        )
    ).astype(np.float64)
    energy[~is_nucleus] = np.maximum(energy[~is_nucleus] - 1, 0)
    landscape = -cv2.GaussianBlur((1 - energy) * is_nucleus, (3, 3), 0)
    markers = _opened(_without_holes(is_nucleus & (energy < ORIGINAL_ENERGY)), ORIGINAL_DISC)
    return _flooded(landscape, _label(markers, LEAST_AREA), is_nucleus)


SEPARATORS: Mapping[Convention, Callable[[Probability, HvMap, int], Instances]] = {
    "local": separate_local,
    "original": separate_original,
}


def _stretched(values: NDArray[Any]) -> NDArray[np.float32]:
    """Scale a map (h, w) so that it goes from 0 to 1; a constant one is 0."""
    stretched = np.empty(values.shape, np.float32)
    cv2.normalize(np.ascontiguousarray(values), stretched, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F)
    return stretched


def _label(mask: Mask, least_area: int) -> Instances:
    """Number the 4-connected parts of a mask that have `least_area` px or more, from 1."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    kept = stats[:, cv2.CC_STAT_AREA] >= least_area
    kept[0] = False
    labelled: Instances = (np.cumsum(kept, dtype=np.int32) * kept)[parts]
    return labelled


def _without_holes(mask: Mask) -> Mask:
    """Fill what is enclosed, by 4-connectivity, and does not reach the tile's border."""
    ground = np.pad(~mask, 1, constant_values=True)
    _, parts = cv2.connectedComponents(ground.view(np.uint8), connectivity=4)
    filled: Mask = parts != parts[0, 0]
    return filled[1:-1, 1:-1]


def _opened(mask: Mask, shape: NDArray[Any]) -> Mask:
    """Remove what is too narrow for a shape to fit in."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, shape)
    return opened.view(np.bool_)


def _with_lone_nuclei(markers: Instances, nuclei: Instances) -> Instances:
    """Add as markers the parts (h, w) of the mask that have none and are large enough."""
    lone = np.bincount(nuclei.ravel()) >= LONE_AREA
    lone[nuclei[markers > 0]] = False
    lone[0] = False
    return np.where(lone[nuclei], nuclei + markers.max(initial=0), markers)


def _flooded_fast(landscape: NDArray[Any], markers: Instances, mask: Mask) -> Instances:
    """See `_flooded`; where heights are equal the order may be another."""
    # A pixel between four of a marker passes nothing on, and need not be queued.
    inside = cv2.erode(
        (markers > 0).astype(np.uint8), CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=[1]
    ).view(np.bool_)
    flooded = _flooded(landscape, np.where(inside, 0, markers), mask & ~inside)
    return np.where(inside, markers, flooded)


def _flooded(landscape: NDArray[Any], markers: Instances, mask: Mask) -> Instances:
    """Give each pixel of the mask to the marker from which water reaches it first, 0 if none."""
    from skimage.segmentation import watershed  # noqa: PLC0415  0.1 s, and only nuclei need it

    flooded: Instances = watershed(  # type: ignore[no-untyped-call]  # skimage has no types
        landscape, markers, mask=mask
    )
    return flooded.astype(np.int32, copy=False)


def _renumbered(instances: Instances) -> tuple[Instances, int]:
    """Number instances from 1 without gaps, and count them."""
    present = np.bincount(instances.ravel()) > 0
    present[0] = False
    numbers = np.cumsum(present, dtype=np.int32) * present
    return numbers[instances], int(numbers[-1])


def _vote(
    ids: NDArray[np.int32], types: NDArray[np.uint8], areas: NDArray[np.intp], labels: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the type of each of k nuclei and the share of its pixels that have it, (k,) each.

    Args:
        ids: (pixels,) of the nuclei's pixels, 0 to k - 1.
        types: (pixels,) of these pixels, 0 for none.
        areas: (k,) px.
        labels: types and none.
    """
    votes = np.bincount(ids * labels + types, minlength=len(areas) * labels)
    votes = votes.reshape(-1, labels)
    best = votes[:, 1:].argmax(axis=1) + 1
    best[~votes[:, 1:].any(axis=1)] = 0
    shares = np.take_along_axis(votes, best[:, None], axis=1)[:, 0] / areas
    return best.astype(np.uint8), shares.astype(np.float32)
