from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.slide import open_slide
from deeplab.slides.tissue import THUMBNAIL_PIXELS, find_tissue, tissue_mask
from tests.slides_for_tests import GLASS, PINK, tissue

SHARED = Path(__file__).parents[2].parent / "shared/data"
needs_data = pytest.mark.skipif(not SHARED.exists(), reason="the real tissue is absent")


def glass(width, height, colour=GLASS, noise=2.0, seed=0):
    rng = np.random.default_rng(seed)
    rgb = np.array(colour, float) + rng.normal(0, noise, (height, width, 1))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def mask_of(rgb, mpp=16.0, **options):
    return tissue_mask(ArraySlide(rgb, Mpp.square(mpp)), **options)


def test_tissue_is_found_and_glass_is_not():
    rgb, there = tissue(300, 200)
    found = find_tissue(rgb)
    assert found[there].mean() == 1
    assert found[~there].mean() < 0.01


@pytest.mark.parametrize("colour", [GLASS, (252, 253, 252), (225, 228, 230), (240, 236, 231)])
def test_a_small_pale_fragment_is_not_lost_on_any_glass(colour):
    rgb = glass(400, 300, colour)
    rgb[20:100, 20:120] = PINK
    pale = np.array(colour) - [4, 18, 8]
    rgb[200:203, 300:303] = pale
    mask = mask_of(rgb)
    assert mask.mask[200:203, 300:303].all()
    assert mask.fraction < 0.15


def test_dark_tissue_without_colour_is_kept():
    rgb = glass(200, 200)
    rgb[20:60, 20:60] = PINK
    rgb[120:124, 120:124] = 150
    assert find_tissue(rgb)[120:124, 120:124].all()


def test_a_picture_of_nothing_but_tissue_is_all_tissue():
    rng = np.random.default_rng(0)
    rgb = np.clip(np.array(PINK) + rng.normal(0, 25, (64, 64, 1)), 0, 255).astype(np.uint8)
    assert mask_of(rgb).mask.all()


def test_black_borders_of_a_scanner_are_no_tissue():
    rgb, there = tissue(300, 200)
    rgb[:, :80] = there[:, :80] = 0
    found = find_tissue(rgb)
    assert not found[:, :80].any()
    assert found[there].all()


def test_fluorescence_and_grey_slides_are_tissue_everywhere():
    dark = np.zeros((100, 100, 3), np.uint8)
    dark[40:60, 40:60, 2] = 200
    grey = np.repeat(glass(100, 100)[..., :1], 3, axis=2)
    grey[30:50, 30:50] = 120
    assert find_tissue(dark).all()
    assert find_tissue(grey).all()


def test_the_margin_is_kept_in_microns():
    rgb = glass(200, 200)
    rgb[100:110, 100:110] = PINK
    near = mask_of(rgb, margin_um=48.0)
    assert near.frame.work_mpp == 16
    assert near.mask[100, 97]
    assert not near.mask[100, 96]


def test_boxes_of_another_frame_are_told_apart():
    rgb = glass(1600, 800)
    rgb[100:300, 1000:1300] = PINK
    slide = ArraySlide(rgb, Mpp.square(1.0))
    mask = tissue_mask(slide, margin_um=16.0)
    frame = slide.frame(0.5)
    assert mask.touches(frame, WorkBox(2100, 300, 10, 10))
    assert mask.touches(frame, WorkBox(1900, 100, 110, 110))
    assert not mask.touches(frame, WorkBox(200, 300, 500, 500))
    assert not mask.touches(frame, WorkBox(-500, -500, 100, 100))
    assert not mask.touches(frame, WorkBox(2100, 300, 0, 10))


def test_the_thumbnail_stays_small_however_large_the_slide():
    class Huge(ArraySlide):
        asked = None

        def read(self, _, box):
            self.asked = box
            return np.full((box.height, box.width, 3), 255, np.uint8)

    for side, mpp in ((200_000, 0.25), (300_000, 0.5), (2_000, 0.25)):
        slide = Huge(np.zeros((1, 1, 3), np.uint8), Mpp.square(mpp))
        slide.width_level0 = slide.height_level0 = side
        mask = tissue_mask(slide)
        assert slide.asked.width * slide.asked.height <= THUMBNAIL_PIXELS
        assert mask.frame.work_mpp >= 15.2


@needs_data
def test_the_real_slide_is_a_third_tissue():
    with open_slide(SHARED / "slides/CMU-1-Small-Region.svs") as slide:
        mask = tissue_mask(slide, margin_um=16.0)
        assert 0.38 < mask.fraction < 0.6
        frame = slide.frame(1.0)
        assert mask.touches(frame, WorkBox(500, 700, 100, 100))
        assert not mask.touches(frame, WorkBox(10, 1000, 200, 200))


@needs_data
@pytest.mark.parametrize("folder", ["camelyon_tumour_cc0", "brecahad_nuclei_ccby4"])
def test_real_tiles_of_tissue_are_tissue(folder):
    for path in sorted((SHARED / folder / "images").iterdir())[:6]:
        rgb = np.asarray(Image.open(path).convert("RGB"))
        assert mask_of(rgb, mpp=0.5).fraction > 0.9
