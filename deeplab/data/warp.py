"""Turning, scaling and bending a patch: one grid of sampling points for image and truth.

A patch is read larger than it is wanted, by as much as the warp that was drawn needs, so that
no pixel is missing. Rasters of truth are moved by nearest neighbour: no value appears that was not
there. What points somewhere, as the maps of directions to a nucleus's middle, is never warped:
targets are made of what came out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.annotations.raster.rasterize import Truth
from deeplab.config.channels import RGB
from deeplab.config.classes import IGNORE

Pixels = NDArray[np.uint8]  # (height, width, channels)
Raster = NDArray[Any]  # (height, width)

# What is true beyond what was read, by the kind of truth before a stroke; 0 of all others.
OUTSIDE: Mapping[str, int] = MappingProxyType({"labels": IGNORE})
FOUR = 4  # channels that OpenCV fills a border of
OVERSHOOT = 1.3  # of the cubic between the nodes of a bend
_QUARTERS = (-1, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """Where the pixels of a patch come from.

    Attributes:
        orientation: one of the eight of a square, see `orient`.
        angle: of the turn, radians.
        scale: what a patch's pixel measures, as a multiple of the um per pixel wanted.
        bend: (2, n, n) by how much the nodes of a coarse grid over the patch are moved, x and y in
            pixels of the patch; None: not at all.
    """

    orientation: int = 0
    angle: float = 0.0
    scale: float = 1.0
    bend: NDArray[np.float32] | None = None

    @property
    def keeps_grid(self) -> bool:
        """Whether pixels only change places."""
        return self.angle == 0 and self.scale == 1 and self.bend is None

    def reads(self, side: int, step: float) -> int:
        """Side of the square that must be read for a patch of `side` pixels.

        Args:
            side: of the patch.
            step: pixels that are read per pixel of the patch, along an axis.
        """
        if self.keeps_grid:
            return side
        moved = 0.0 if self.bend is None else OVERSHOOT * float(np.abs(self.bend).max())
        spread = abs(math.cos(self.angle)) + abs(math.sin(self.angle))
        needed = math.ceil(step * (side * spread + 2 * moved)) + 2
        return needed + (needed - side) % 2  # the middle of the patch is that of what is read

    def apply(
        self, pixels: Pixels, truth: Truth, side: int, step: float, *, outside: int = RGB.outside
    ) -> tuple[Pixels, Truth]:
        """Return the patch of `side` pixels about the middle of a square of `reads(side, step)`.

        Args:
            pixels: (read, read, channels).
            truth: of them, rasters (read, read).
            side: of the patch.
            step: pixels that were read per pixel of the patch, along an axis.
            outside: value of the pixels beyond what was read.
        """
        if not self.keeps_grid:
            # A pixel covers step^2 / 12 of variance; bilinear sampling averages 1 / 6 by itself.
            variance = step**2 / 12 - 1 / 6
            if variance > 0:
                spread = math.sqrt(variance)
                pixels = by_fours(pixels, lambda some: cv2.GaussianBlur(some, (0, 0), spread))
            grid = self._grid(side, step, len(pixels))
            x, y = grid
            border = (outside,) * FOUR
            pixels = by_fours(
                pixels,
                lambda some: cv2.remap(some, x, y, cv2.INTER_LINEAR, borderValue=border),
            )
            truth = {kind: _nearest(raster, grid, kind) for kind, raster in truth.items()}
        return orient(pixels, truth, self.orientation)

    def _grid(self, side: int, step: float, read: int) -> NDArray[np.float32]:
        """Return where in what was read each pixel lies, (2, side, side) x and y."""
        along = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
        cos, sin = step * math.cos(self.angle), step * math.sin(self.angle)
        middle = (read - 1) / 2
        grid = np.empty((2, side, side), np.float32)
        np.add.outer(-sin * along, cos * along + middle, out=grid[0], dtype=np.float32)
        np.add.outer(cos * along, sin * along + middle, out=grid[1], dtype=np.float32)
        if self.bend is not None:
            for axis, moved in zip(grid, self.bend * np.float32(step), strict=True):
                axis += cv2.resize(moved, (side, side), interpolation=cv2.INTER_CUBIC)
        return grid


def _nearest(raster: Raster, grid: NDArray[np.float32], kind: str) -> Raster:
    """Return the raster (side, side) at the points of a grid, of the nearest pixels."""
    # By its bytes, each a channel: OpenCV then moves whole numbers of any size as they are.
    border = np.array(OUTSIDE.get(kind.partition("/")[0], 0), raster.dtype)
    pixels = np.ascontiguousarray(raster)[..., None].view(np.uint8)  # (read, read, bytes)
    outside = tuple(map(int, np.frombuffer(border.tobytes(), np.uint8)))
    x, y = grid
    moved = np.asarray(cv2.remap(pixels, x, y, cv2.INTER_NEAREST, borderValue=outside), np.uint8)
    return np.ascontiguousarray(moved).view(raster.dtype).reshape(moved.shape[:2])


def by_fours(pixels: Pixels, change: Callable[[Pixels], NDArray[Any]]) -> Pixels:
    """Return pixels changed by a function of OpenCV's, most of which take four channels at most."""
    if pixels.shape[2] == len(RGB):
        return np.asarray(change(pixels), np.uint8)
    parts = []
    for first in range(0, pixels.shape[2], FOUR):
        some = np.ascontiguousarray(pixels[:, :, first : first + FOUR])
        changed = np.asarray(change(some), np.uint8)
        parts.append(changed.reshape(*changed.shape[:2], some.shape[2]))  # OpenCV drops one of 1
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def orient(pixels: Pixels, truth: Truth, which: int) -> tuple[Pixels, Truth]:
    """One of the eight orientations of a square: `which` % 4 quarter turns, mirrored from 4 on."""
    turned = {kind: _oriented(raster, which) for kind, raster in truth.items()}
    return by_fours(pixels, lambda some: _oriented(some, which)), turned


def _oriented(pixels: Raster, which: int) -> Raster:
    # OpenCV turns many times faster than NumPy copies a turned view.
    turned = cv2.rotate(pixels, _QUARTERS[which % 4]) if which % 4 else pixels
    return np.asarray(cv2.flip(turned, 1) if which >= 4 else turned, pixels.dtype)
