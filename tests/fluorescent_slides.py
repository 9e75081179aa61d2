"""Fluorescent slides painted in code: nuclei in one channel, something else in another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

Values = NDArray[np.uint16]  # (channels, height, width)

NAMES = ("CD3", "DAPI")  # the nuisance comes first: an index by mistake finds it
GROUND, BRIGHT = 180.0, 1900.0  # of a camera of 12 bits
DAPI_OF_STUDY = (1408, 1876)  # height, width of a slide of the DEDL study


def paint_cells(
    height: int, width: int, *, seed: int, cells: int = 9, radius: tuple[int, int] = (13, 22)
) -> tuple[Values, NDArray[np.uint8]]:
    """Return the channels of `NAMES` and the labels (height, width), 1 on nuclei.

    Nuclei differ in brightness, the dark has shot noise, and the nuisance channel shows blobs of
    the same sizes elsewhere.
    """
    random = np.random.default_rng(seed)
    labels = _discs(random, height, width, cells, radius)
    others = _discs(random, height, width, cells, radius)
    channels = np.stack([_light(random, others), _light(random, labels)])
    return channels, (labels > 0).astype(np.uint8)


def _discs(
    random: np.random.Generator, height: int, width: int, count: int, radius: tuple[int, int]
) -> NDArray[np.int32]:
    labels = np.zeros((height, width), np.int32)
    rows, columns = np.ogrid[:height, :width]
    for number in range(1, count + 1):
        row, column = random.integers(0, height), random.integers(0, width)
        labels[(rows - row) ** 2 + (columns - column) ** 2 < random.integers(*radius) ** 2] = number
    return labels


def _light(random: np.random.Generator, labels: NDArray[np.int32]) -> Values:
    brightness = random.uniform(0.5, 1.0, labels.max() + 1)
    brightness[0] = 0
    light = GROUND + BRIGHT * ndimage.gaussian_filter(brightness[labels], 0.7)
    return np.clip(random.normal(light, 2 * np.sqrt(light)), 0, 4095).astype(np.uint16)


def write_ome(
    path: Path,
    channels: NDArray,
    names: Sequence[str] = NAMES,
    *,
    mpp: float = 0.5,
    tile: int = 128,
    levels: int = 1,
) -> Path:
    """Write channels (n, height, width) as a tiled OME-TIFF with so many levels."""
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": list(names)},
        **{f"PhysicalSize{axis}": mpp for axis in "XY"},
        **{f"PhysicalSize{axis}Unit": "µm" for axis in "XY"},
    }
    options = {"photometric": "minisblack", "tile": (tile, tile), "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(channels, subifds=levels - 1, metadata=metadata, **options)
        for level in range(1, levels):
            tiff.write(shrunk(channels, 2**level), subfiletype=1, **options)
    return path


def write_pages(
    path: Path, channels: NDArray, names: Sequence[str] = (), *, mpp: float = 0.5, levels: int = 1
) -> Path:
    """Write channels as pages in strips, each a stain; those of each level after one another."""
    per_cm = 1e4 / mpp
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            for number, page in enumerate(shrunk(channels, 2**level)):
                named = [(285, "s", 0, names[number], True)] if names else []
                tiff.write(
                    page,
                    metadata=None,
                    photometric="minisblack",
                    resolution=(per_cm / 2**level,) * 2,
                    resolutionunit="CENTIMETER",
                    extratags=named,
                )
    return path


def shrunk(channels: NDArray, by: int) -> NDArray:
    """Return channels (n, height, width) with `by` x `by` pixels as one, their mean."""
    count, height, width = channels.shape
    cut = channels[:, : height // by * by, : width // by * by]
    blocks = cut.reshape(count, height // by, by, width // by, by)
    return np.rint(blocks.mean(axis=(2, 4))).astype(channels.dtype)
