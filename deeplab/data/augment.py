"""Random changes of a patch that leave its meaning: image and labels always move together.

A patch is read larger than it is wanted, so that turning it never needs pixels that were not read.
Labels are moved by nearest neighbour: no value appears that was not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.config.classes import IGNORE
from deeplab.errors import ConfigError

Rgb = NDArray[np.uint8]  # (height, width, 3)
Labels = NDArray[np.uint8]  # (height, width)

# Optical density of haematoxylin, eosin and the residual, rows of unit length
# (Ruifrok and Johnston 2001, Anal Quant Cytol Histol 23:291).
STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
STAINS /= np.linalg.norm(STAINS, axis=1, keepdims=True)
UNMIX = np.linalg.inv(STAINS)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly patches are changed.

    `strength` 0 changes nothing but the eight orientations, 1 is the strongest: any angle, a scale
    of 0.75 to 1.33, each stain's amount changed by up to 40 %, brightness, blur and noise.
    """

    strength: float
    turn: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError("augment", self.strength, "between 0 and 1")

    @property
    def reach(self) -> float:
        """Side of what must be read, as a multiple of the patch."""
        return 1.0 if self.strength == 0 else math.sqrt(2) * self._largest_scale

    @property
    def _largest_scale(self) -> float:
        return 1 + self.strength / 3

    def __call__(
        self, rgb: Rgb, labels: Labels, side: int, random: np.random.Generator
    ) -> tuple[Rgb, Labels]:
        """One random patch of `side` pixels about the middle of the larger patch given.

        Args:
            rgb: (n, n, 3) with n at least `side` times `reach`.
            labels: (n, n).
            side: of the result.
            random: every draw comes from here.

        Returns:
            rgb (side, side, 3) and labels (side, side).
        """
        if self.strength and random.random() < 0.75:
            rgb, labels = self._warp(rgb, labels, side, random)
        else:
            first = (len(rgb) - side) // 2
            middle = slice(first, first + side)
            rgb, labels = rgb[middle, middle], labels[middle, middle]
        if self.turn:
            rgb, labels = orient(rgb, labels, int(random.integers(8)))
        if self.strength:
            rgb = self._stain(rgb, random)
            rgb = self._optics(rgb, random)
        return np.ascontiguousarray(rgb), np.ascontiguousarray(labels)

    def _warp(
        self, rgb: Rgb, labels: Labels, side: int, random: np.random.Generator
    ) -> tuple[Rgb, Labels]:
        angle = random.uniform(-math.pi, math.pi)
        scale = self._largest_scale ** random.uniform(-1, 1)
        # From a pixel of the result to a pixel of the source, centre on centre.
        turn = scale * np.array(
            [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        )
        to, of = (side - 1) / 2, (len(rgb) - 1) / 2
        matrix = np.hstack([turn, of - turn @ np.full((2, 1), to)])
        where = (side, side)
        inverse = cv2.WARP_INVERSE_MAP
        white = (255, 255, 255)
        image = cv2.warpAffine(
            rgb, matrix, where, flags=cv2.INTER_LINEAR | inverse, borderValue=white
        )
        truth = cv2.warpAffine(
            labels, matrix, where, flags=cv2.INTER_NEAREST | inverse, borderValue=IGNORE
        )
        return image.astype(np.uint8), truth.astype(np.uint8)

    def _stain(self, rgb: Rgb, random: np.random.Generator) -> Rgb:
        # Scaling each stain is one linear map of optical density (Tellez et al. 2018, TMI 37:2126).
        factors = 1 + 0.4 * self.strength * random.uniform(-1, 1, 3)
        offset = 0.05 * self.strength * random.uniform(-1, 1, 3)
        density = -np.log((rgb.astype(np.float32) + 1) / 256)
        mixed = density @ (UNMIX @ np.diag(factors) @ STAINS).astype(np.float32)
        mixed += (offset @ STAINS).astype(np.float32)
        return _to_bytes(np.exp(-mixed) * 256 - 1)

    def _optics(self, rgb: Rgb, random: np.random.Generator) -> Rgb:
        change = 0.15 * self.strength
        gain = 1 + change * random.uniform(-1, 1, 3) + change * random.uniform(-1, 1)
        image = rgb.astype(np.float32) * gain.astype(np.float32)
        if random.random() < 0.3 * self.strength:
            image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.2)).astype(np.float32)
        if random.random() < 0.3 * self.strength:
            image += random.normal(0, 6 * self.strength, image.shape).astype(np.float32)
        return _to_bytes(image)


def _to_bytes(image: NDArray[np.float32]) -> Rgb:
    return np.asarray(np.clip(image, 0, 255), np.uint8)


def orient(rgb: Rgb, labels: Labels, which: int) -> tuple[Rgb, Labels]:
    """One of the eight orientations of a square: `which` % 4 quarter turns, mirrored from 4 on."""
    rgb, labels = np.rot90(rgb, which % 4), np.rot90(labels, which % 4)
    return (rgb[:, ::-1], labels[:, ::-1]) if which >= 4 else (rgb, labels)
