"""Where a slide holds tissue, seen on a thumbnail; in doubt there is some."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from deeplab.geometry.frames import Level0Box, WorkBox, WorkFrame
from deeplab.slides.slide import Slide

THUMBNAIL_MPP = 16.0  # um; glass is even at this scale, and a fragment of a few cells still shows
THUMBNAIL_PIXELS = 4_000_000
MARGIN_UM = 64.0  # tissue fades out towards its edge

# Colour is the spread between the channels in byte steps, against glass. On H&E slides glass has
# 0 to 4 and the palest tissue about 10; the split between the two is sought, within bounds.
LEAST_COLOUR, MOST_COLOUR = 6.0, 10.0
LEAST_DENSITY = 0.12  # optical density of what has no colour: pigment, folds, silver stains
GLASS_BRIGHTNESS, GLASS_COLOUR = 190, 10  # what may be glass, to tell its tint
BLACK = 30  # a scanner paints what it did not scan black
# Of fluorescence: the darkest part of a thumbnail is ground, and tissue is brighter by some byte
# steps, by some deviations of the noise, and by shares of the way to the middle between dark and
# bright. Between neighbours noise of deviation 1 has a median step of 0.954.
GROUND_SHARE, LEAST_CONTRAST = 0.02, 3.0
NOISE_FACTOR, MEDIAN_STEP, LEAST_SHARE, MOST_SHARE = 6.0, 0.954, 0.1, 0.25
DIM = 110  # brightness of a brightfield slide is above: glass lets light through


# What WSSS-Tissue takes for ground: brighter than this, in parts of so many pixels.
BRIGHT, LEAST_PART = 200, 50


@dataclass(frozen=True, slots=True)
class TissueMask:
    """`mask` (frame.height, frame.width) is true where there is tissue or may be some."""

    mask: NDArray[np.bool_]
    frame: WorkFrame

    def touches(self, frame: WorkFrame, box: WorkBox) -> bool:
        """Return whether `box`, pixels of another `frame` of the same slide, holds any tissue."""
        if box.is_empty:
            return False
        part = self.part(frame, box)
        return bool(self.mask[part.within(self.frame.box)].any())

    def part(self, frame: WorkFrame, box: WorkBox) -> WorkBox:
        """Return the pixels of the mask that `box`, of another `frame` of the slide, lies in."""
        return self.frame.to_work(frame.to_level0(box)).intersection(self.frame.box)

    @property
    def fraction(self) -> float:
        """The part of the slide that is tissue, 0 to 1."""
        return float(self.mask.mean())


@dataclass(frozen=True)
class Thumbnail:
    """All of a slide, small.

    Attributes:
        pixels: uint8 (frame.height, frame.width, channels).
        frame: of them.
        are_colours: whether light shone through the slide.
    """

    pixels: NDArray[np.uint8]
    frame: WorkFrame
    are_colours: bool

    def tissue(self, *, margin_um: float = MARGIN_UM) -> TissueMask:
        """Return the tissue and `margin_um` around it.

        Of a fluorescent slide it is what is brighter than the dark between. Else black borders are
        left out. Ink is kept, as it often lies on tissue. A slide without colours or
        with a dark ground is tissue everywhere: there is nothing to tell glass by.
        """
        if not self.are_colours:
            found = find_bright_tissue(self.pixels)
        else:
            found = _everywhere(self.pixels) if self.stained is None else self.stained
        reach = max(1, math.ceil(margin_um / self.frame.work_mpp))
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        grown = cv2.dilate(found.astype(np.uint8), disc)
        return TissueMask(grown.astype(np.bool_), self.frame)

    @cached_property
    def stained(self) -> NDArray[np.bool_] | None:
        """The stained tissue, bool (height, width), without a margin.

        None of a fluorescent slide, and where nothing tells it from glass.
        """
        return find_stained_tissue(self.pixels) if self.are_colours else None


def read_thumbnail(slide: Slide) -> Thumbnail:
    """Return all of a slide at about `THUMBNAIL_MPP`, of a very large slide coarser.

    Raises:
        SlideError: the slide cannot be read.
        ServerError: the server that has it failed.
    """
    frame = slide.frame(_thumbnail_mpp(slide))
    return Thumbnail(slide.read(frame, frame.box), frame, slide.channels.are_colours)


def tissue_mask(slide: Slide, *, margin_um: float = MARGIN_UM) -> TissueMask:
    """Return the tissue of `slide` and `margin_um` around it, as `Thumbnail.tissue` finds it.

    Raises:
        SlideError: the slide cannot be read.
        ServerError: the server that has it failed.
    """
    return read_thumbnail(slide).tissue(margin_um=margin_um)


def _thumbnail_mpp(slide: Slide) -> float:
    whole = Level0Box(0, 0, slide.width_level0, slide.height_level0)
    area_um2 = whole.width * slide.mpp.x * whole.height * slide.mpp.y
    # A scale near a power of two is taken as that, 5 % away at most: it may be finer.
    finest = math.sqrt(area_um2 / THUMBNAIL_PIXELS) * 1.06
    return max(THUMBNAIL_MPP, finest)


def find_tissue(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of a thumbnail, uint8 (height, width, 3), are tissue.

    It is all of them where there is nothing to tell glass by.
    """
    found = find_stained_tissue(rgb)
    return _everywhere(rgb) if found is None else found


def find_stained_tissue(rgb: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return which pixels of a thumbnail, uint8 (height, width, 3), stain tells from glass.

    None where nothing does: the ground is dark, or the slide is without colours.
    """
    brightness = rgb.mean(axis=2)
    scanned = rgb.max(axis=2) > BLACK
    if not scanned.any() or np.median(brightness[scanned]) < DIM:
        return None
    density = _density(rgb, _glass(rgb))
    colour = 255 * (1 - 10.0 ** -np.ptp(density, axis=2))
    if np.quantile(colour[scanned], 0.999) < LEAST_COLOUR:
        return None
    otsu, _ = cv2.threshold(colour[scanned].astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    split = min(max(otsu, LEAST_COLOUR), MOST_COLOUR)
    coloured = (colour > split) | (density.mean(axis=2) > LEAST_DENSITY)
    return np.asarray(scanned & coloured, np.bool_)


def _everywhere(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.ones(pixels.shape[:2], np.bool_)


def find_bright_ground(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels, of uint8 (height, width, 3), are ground by their brightness alone.

    As Han et al. 2022 (arXiv:2110.08048) have it: parts of the image, joined by the sides of
    pixels, that are brighter than 200 and have 50 pixels at least, at whatever scale.
    """
    bright = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) > BRIGHT
    _, parts, facts, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=4)
    large = facts[:, cv2.CC_STAT_AREA] >= LEAST_PART
    large[0] = False  # what is not bright
    ground: NDArray[np.bool_] = large[parts]
    return ground


def find_bright_tissue(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels of a thumbnail, uint8 (height, width, channels), are tissue.

    These are brighter, in some channel, than its ground by more than its noise and by a part of
    what lies between dark and bright by Otsu: most cells are far darker than the brightest. Where
    no channel tells ground from tissue, there is tissue everywhere.
    """
    found = np.zeros(pixels.shape[:2], np.bool_)
    for channel in np.moveaxis(pixels, 2, 0):
        otsu, _ = cv2.threshold(np.ascontiguousarray(channel), 0, 255, cv2.THRESH_OTSU)
        bright = channel > otsu
        if bright.all() or not bright.any():
            continue
        ground = float(np.quantile(channel, GROUND_SHARE))
        contrast = (channel[bright].mean() + channel[~bright].mean()) / 2 - ground
        if contrast >= LEAST_CONTRAST:
            steps = np.abs(np.diff(channel.astype(np.int16), axis=1))
            noise = float(np.median(steps)) / MEDIAN_STEP if steps.size else 0.0
            above_noise = min(NOISE_FACTOR * noise, MOST_SHARE * contrast)
            found |= channel > ground + max(LEAST_CONTRAST, above_noise, LEAST_SHARE * contrast)
    return found if found.any() else np.ones(found.shape, np.bool_)


def _glass(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The colour of the glass, (3,); white where too little of the picture looks like glass."""
    pale = (rgb.min(axis=2) > GLASS_BRIGHTNESS) & (np.ptp(rgb, axis=2) <= GLASS_COLOUR)
    if pale.mean() < 0.005:
        return np.full(3, 255.0)
    return np.asarray(np.median(rgb[pale], axis=0), np.float64)


def _density(rgb: NDArray[np.uint8], glass: NDArray[np.float64]) -> NDArray[np.float64]:
    """Optical density of each channel against `glass`, 0 where it is brighter."""
    light = (rgb.astype(np.float64) + 1) / (glass + 1)
    return np.maximum(-np.log10(light), 0)
