"""Colours, stains, nuclei and PAS of pixels that were painted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb_from_hpx

from deeplab.features.pixels import COLUMNS, measure_pixels
from deeplab.features.stains import STAININGS, stain_darkness
from tests.slides_for_tests import noise


def stained(amounts, colours):
    """A pixel of these optical densities of stains, by the law of Lambert and Beer."""
    density = np.asarray(amounts) @ np.asarray(colours)
    return np.rint(256 ** (1 - density / 255) - 1).clip(0, 255).astype(np.uint8)


def he(haematoxylin, eosin):
    colours = STAININGS["he"][1].T[:2]
    return stained([haematoxylin, eosin], colours / np.linalg.norm(colours, axis=1)[:, None])


def pas(haematoxylin, magenta):
    return stained([haematoxylin, magenta], rgb_from_hpx[:2])


def painted(colour, size=60):
    return np.full((size, size, 3), colour, np.uint8)


def all_of(rgb, **settings):
    given_ = {"work_mpp": 0.5, "staining": "he"} | settings
    return measure_pixels(rgb, np.ones(rgb.shape[:2], bool), **given_)


def test_colours_are_those_in_the_mask_alone():
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[1, 1], rgb[1, 2] = (10, 20, 30), (30, 20, 90)
    mask = np.zeros((4, 4), bool)
    mask[1, 1:3] = True
    found = measure_pixels(rgb, mask, work_mpp=0.5, staining="he")
    read = {
        name: [found[f"{name}_{of}"] for of in ("mean", "std", "min", "max")]
        for name in ("red", "green", "blue")
    }
    assert read == {"red": [20, 10, 10, 30], "green": [20, 0, 20, 20], "blue": [60, 30, 30, 90]}
    # 0.299 R + 0.587 G + 0.114 B
    assert (found["grey_min"], found["grey_max"]) == (18, 31)


@given(st.floats(0, 100), st.floats(0, 60))
def test_stains_are_found_in_the_amounts_they_were_mixed_in(haematoxylin, eosin):
    found = stain_darkness(he(haematoxylin, eosin).reshape(1, 1, 3), "he")
    # Colours are whole numbers; the darkest are the coarsest.
    assert found["haematoxylin"].item() == pytest.approx(haematoxylin, abs=3)
    assert found["eosin"].item() == pytest.approx(eosin, abs=3)


def test_each_staining_has_its_own_columns():
    found = {name: all_of(painted(he(40, 30)), staining=name) for name in ("he", "pas")}
    for name, values in found.items():
        assert tuple(values) == COLUMNS
        assert math.isnan(values["eosin_mean"]) == (name == "pas")
        assert math.isnan(values["pas_mean"]) == (name == "he")
        assert math.isnan(values["pas_positive_area_um2"]) == (name == "he")
        assert not math.isnan(values["haematoxylin_mean"])


def test_magenta_is_pas_positive_and_haematoxylin_is_not():
    rgb = painted(pas(60, 0), 40)
    rgb[:10, :20] = pas(0, 50)
    found = all_of(rgb, staining="pas", work_mpp=0.5)
    assert found["pas_positive_area_um2"] == 10 * 20 * 0.25
    assert found["pas_positive_share"] == 10 * 20 / 40**2
    assert all_of(painted(255), staining="pas")["pas_positive_area_um2"] == 0


def with_nuclei(places, radius_px, size=160):
    rgb = painted(he(8, 25), size)
    y, x = np.indices(rgb.shape[:2])
    for cx, cy in places:
        rgb[np.hypot(x - cx, y - cy) < radius_px] = he(70, 20)
    return rgb


PLACES = [(30, 30), (80, 40), (120, 110), (40, 120), (137, 110)]


@pytest.mark.parametrize("work_mpp", [0.25, 0.5])
def test_nuclei_are_counted_at_any_fine_scale(work_mpp):
    scale = round(0.5 / work_mpp)
    places = [(x * scale, y * scale) for x, y in PLACES]
    rgb = with_nuclei(places, 7 * scale, 160 * scale)
    found = all_of(rgb, work_mpp=work_mpp)
    area = 5 * math.pi * 3.5**2
    assert found["nucleus_count"] == 5
    assert found["nucleus_area_um2"] == pytest.approx(area, rel=0.15)
    assert found["nucleus_density_per_mm2"] == pytest.approx(5 / (0.08**2))


def test_only_nuclei_inside_count():
    rgb = with_nuclei(PLACES, 7)
    mask = np.zeros(rgb.shape[:2], bool)
    mask[:80] = True
    found = measure_pixels(rgb, mask, work_mpp=0.5, staining="he")
    assert found["nucleus_count"] == 2
    assert found["nucleus_density_per_mm2"] == pytest.approx(2 / (0.08 * 0.04))


@pytest.mark.parametrize("colour", [(255, 255, 255), he(5, 30), he(15, 10), (0, 0, 0)])
def test_an_even_object_has_no_nuclei(colour):
    found = all_of(painted(colour))
    assert (found["nucleus_count"], found["nucleus_area_um2"]) == (0, 0)


def test_faint_speckles_are_no_nuclei():
    rgb = np.random.default_rng(0).integers(215, 235, (80, 80, 3)).astype(np.uint8)
    assert all_of(rgb)["nucleus_count"] == 0


def test_where_pixels_are_coarse_nuclei_are_not_known():
    found = all_of(with_nuclei(PLACES, 7), work_mpp=2)
    assert math.isnan(found["nucleus_count"])
    assert not math.isnan(found["haralick_asm_mean"])


def test_an_empty_mask_has_no_number():
    found = measure_pixels(noise(9, 9), np.zeros((9, 9), bool), work_mpp=0.5, staining="pas")
    assert tuple(found) == COLUMNS
    assert all(map(math.isnan, found.values()))


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"a mask of \(8, 9\) on a window of \(9, 9\)"):
        measure_pixels(noise(9, 9), np.ones((8, 9), bool), work_mpp=0.5, staining="he")


@settings(max_examples=40)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 99),
    st.sampled_from(["he", "pas"]),
    st.floats(0.1, 2),
)
def test_no_small_object_is_an_error(width, height, seed, staining, work_mpp):
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    mask = rng.random((height, width)) < 0.7
    found = measure_pixels(rgb, mask, work_mpp=work_mpp, staining=staining)
    assert tuple(found) == COLUMNS
    assert math.isnan(found["red_mean"]) != mask.any()
