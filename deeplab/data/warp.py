"""Turning, scaling and bending a patch: one grid of sampling points for image and labels.

A patch is read larger than it is wanted, by as much as the warp that was drawn needs, so that
no pixel is missing. Labels are moved by nearest neighbour: no value appears that was not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.config.classes import IGNORE

Rgb = NDArray[np.uint8]  # (height, width, 3)
Labels = NDArray[np.uint8]  # (height, width)

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

    def apply(self, rgb: Rgb, labels: Labels, side: int, step: float) -> tuple[Rgb, Labels]:
        """The patch of `side` pixels about the middle of a square of `reads(side, step)`."""
        if not self.keeps_grid:
            # A pixel covers step^2 / 12 of variance; bilinear sampling averages 1 / 6 by itself.
            variance = step**2 / 12 - 1 / 6
            if variance > 0:
                rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), math.sqrt(variance)), np.uint8)
            grid = self._grid(side, step, len(rgb))
            rgb, labels = _sampled(rgb, labels, grid)
        return orient(rgb, labels, self.orientation)

    def _grid(self, side: int, step: float, read: int) -> NDArray[np.float32]:
        """Where in what was read each pixel lies, (2, side, side) x and y."""
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


def _sampled(rgb: Rgb, labels: Labels, grid: NDArray[np.float32]) -> tuple[Rgb, Labels]:
    x, y = grid
    image = cv2.remap(rgb, x, y, cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    truth = cv2.remap(labels, x, y, cv2.INTER_NEAREST, borderValue=IGNORE)
    return np.asarray(image, np.uint8), np.asarray(truth, np.uint8)


def orient(rgb: Rgb, labels: Labels, which: int) -> tuple[Rgb, Labels]:
    """One of the eight orientations of a square: `which` % 4 quarter turns, mirrored from 4 on."""
    return _oriented(rgb, which), _oriented(labels, which)


def _oriented(pixels: NDArray[np.uint8], which: int) -> NDArray[np.uint8]:
    # OpenCV turns many times faster than NumPy copies a turned view.
    turned = cv2.rotate(pixels, _QUARTERS[which % 4]) if which % 4 else pixels
    return np.asarray(cv2.flip(turned, 1) if which >= 4 else turned, np.uint8)
