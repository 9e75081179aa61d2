"""Random changes of a patch that leave its meaning, each kind with a strength of its own.

Geometry comes first and moves image and labels alike. What follows changes colours only, in the
order of nature: the stain, the lamp and the lens, then the camera and its file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from scipy import special

from deeplab.config.channels import RGB, Channels
from deeplab.config.train_request import AugmentSettings
from deeplab.data.stains import STAINS, restain
from deeplab.data.warp import Pixels, Warp, by_fours

# How often a patch is warped, and bent if so. The rest keeps the network used to pixels as
# inference sees them.
WARPED, BENT = 0.75, 0.5

# What a strength of 1 may do.
TURN = math.pi
SCALE = 4 / 3
NODE_DISTANCE, NODE_SHIFT = 64, 4.5  # pixels of a patch; the shift is a standard deviation
STAIN_GROUND, STAIN_HUE = 5.0, 0.06  # darkness; length by which a stain's colour moves
STAIN_AMOUNTS = np.array([0.4, 0.4, 0.2])  # the residual is no stain: it must stay small
BRIGHTNESS, CONTRAST = 30.0, 1.25  # grey values; factor
GAIN, COURSE, GROUND = 1.6, 1.4, 0.06  # of a channel: factor, exponent, share of full brightness
HUE, SATURATION = 0.25, 1.4  # radians on the circle of colours; factor
BLUR_RADIUS = 2.5  # pixels
NOISE = 14.0  # grey values
JPEG_BEST, JPEG_LOSS = 95, 65  # quality

_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_MIDDLE_GREY = 170.0  # of stained tissue; contrast turns about it
# What the values of a byte are on a normal curve: random bytes cost a tenth of normal draws.
_NORMAL = special.ndtri((np.arange(256) + 0.5) / 256)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Draws of how patches are changed; every draw comes from the `random` given."""

    settings: AugmentSettings
    channels: Channels = RGB

    def warp(self, side: int, random: np.random.Generator) -> Warp:
        """Return how a patch of `side` pixels is turned, scaled and bent."""
        orientation = int(random.integers(8)) if self.settings.augment_flip else 0
        turn, scale, bend = map(self.settings.strength, ("rotation", "scale", "elastic"))
        if not (turn or scale or bend) or random.random() >= WARPED:
            return Warp(orientation=orientation)
        return Warp(
            orientation=orientation,
            angle=turn * random.uniform(-TURN, TURN),
            scale=SCALE ** (scale * random.uniform(-1, 1)),
            bend=_bend(side, bend, random) if bend and random.random() < BENT else None,
        )

    def recolour(self, pixels: Pixels, random: np.random.Generator) -> Pixels:
        """Return the same patch, (side, side, channels), as stained, lit and taken differently."""
        changes = _CHANGES if self.channels.are_colours else _CHANGES_OF_CHANNELS
        for kinds, chance, change in changes:
            strengths = [self.settings.strength(kind) for kind in kinds]
            if any(strengths) and random.random() < chance:
                pixels = change(pixels, random, *strengths)
        return pixels


def _bend(side: int, strength: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Return how far the nodes of a grid over the patch are moved, (2, nodes, nodes)."""
    nodes = math.ceil(side / NODE_DISTANCE) + 3
    # Nodes of a patch smaller than their distance lie nearer to each other: they move less.
    shift = strength * NODE_SHIFT * min(1.0, side / (nodes * NODE_DISTANCE) * 2)
    return shift * np.clip(random.standard_normal((2, nodes, nodes), np.float32), -2, 2)


def _restained(rgb: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    # Tellez et al. 2018, TMI 37:2126; that the stains' own colours differ as well is ours.
    stains = STAINS + strength * STAIN_HUE * random.uniform(-1, 1, (3, 3))
    return restain(
        rgb,
        amounts=1 + strength * STAIN_AMOUNTS * random.uniform(-1, 1, 3),
        grounds=strength * STAIN_GROUND * random.uniform(-1, 1, 3),
        stains=stains / np.linalg.norm(stains, axis=1, keepdims=True),
    )


def _lit(
    rgb: Pixels, random: np.random.Generator, brightness: float, hue: float, saturation: float
) -> Pixels:
    """Brightness, contrast, hue and saturation are one linear map of the colours."""
    draws = random.uniform(-1, 1, 4)
    gain = CONTRAST ** (brightness * draws[0])
    offset = (1 - gain) * _MIDDLE_GREY + brightness * BRIGHTNESS * draws[1]
    angle, chroma = hue * HUE * draws[2], SATURATION ** (saturation * draws[3])
    cos, sin = chroma * math.cos(angle), chroma * math.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = np.column_stack([gain * (_FROM_YIQ @ turn @ _TO_YIQ), np.full(3, offset)])
    return np.asarray(cv2.transform(rgb, matrix.astype(np.float32)), np.uint8)


def _exposed(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Return each channel as of another exposure, ground and course of brightness."""
    draws = random.uniform(-1, 1, (pixels.shape[2], 3))
    values = np.arange(256) / 255
    changed = np.empty_like(pixels)
    for channel, (gain, ground, course) in enumerate(strength * draws):
        curve = GAIN**gain * values ** (COURSE**course) + GROUND * ground
        table = np.asarray(np.clip(curve, 0, 1) * 255 + 0.5, np.uint8)
        changed[:, :, channel] = table[pixels[:, :, channel]]
    return changed


def _blurred(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    radius = strength * BLUR_RADIUS * random.random()
    if random.random() < 0.5:
        return by_fours(pixels, lambda some: cv2.GaussianBlur(some, (0, 0), 0.1 + radius / 2))
    return by_fours(pixels, lambda some: cv2.filter2D(some, -1, _disc(radius)))


def _disc(radius: float) -> NDArray[np.float32]:
    """Return what a lens out of focus makes of a point; its edge is soft by a pixel."""
    reach = math.ceil(radius)
    along = np.arange(-reach, reach + 1)
    far = np.hypot(along, along[:, None])
    disc = np.clip(radius + 0.5 - far, 0, 1).astype(np.float32)
    return np.asarray(disc / disc.sum(), np.float32)


def _noisy(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    grey_values = strength * NOISE * random.random()
    curve = np.rint(grey_values * _NORMAL).astype(np.int16)
    rows = pixels.reshape(len(pixels), -1)  # whatever the number of channels
    drawn = np.frombuffer(random.bytes(rows.size), np.uint8).reshape(rows.shape)
    changed = cv2.add(rows, cv2.LUT(drawn, curve), dtype=cv2.CV_8U)
    return np.asarray(changed, np.uint8).reshape(pixels.shape)


def _compressed(rgb: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    quality = round(JPEG_BEST - JPEG_LOSS * strength * random.random())
    file = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, colorsubsampling="420")
    return np.asarray(simplejpeg.decode_jpeg(file), np.uint8)


# The kinds whose strengths a change takes, how often a patch undergoes it, and the change.
_CHANGES: tuple[tuple[tuple[str, ...], float, Callable[..., Pixels]], ...] = (
    (("stain",), 0.8, _restained),
    (("brightness", "hue", "saturation"), 0.8, _lit),
    (("blur",), 0.3, _blurred),
    (("noise",), 0.3, _noisy),
    (("jpeg",), 0.3, _compressed),
)
# Of fluorescence: there are no stains that take light away, no colours, and files lose nothing.
_CHANGES_OF_CHANNELS: tuple[tuple[tuple[str, ...], float, Callable[..., Pixels]], ...] = (
    (("brightness",), 0.8, _exposed),
    (("blur",), 0.3, _blurred),
    (("noise",), 0.3, _noisy),
)
