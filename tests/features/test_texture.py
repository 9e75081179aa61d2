"""Texture of an object is HistomicsTK's where that looks at the object alone."""

import math

import numpy as np
import pytest
from histomicstk.features import compute_haralick_features
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deeplab.features.texture import COLUMNS, measure_texture

SIDES = st.tuples(st.integers(2, 9), st.integers(2, 9))


@given(arrays.arrays(np.uint8, SIDES))
def test_rectangles_have_histomicstks_texture(grey):
    mask = np.ones(grey.shape, bool)
    theirs = compute_haralick_features(mask.astype(int), grey).iloc[0]
    found = measure_texture(grey, mask)
    assert len(COLUMNS) == len(theirs) == 26
    assert list(found.values()) == pytest.approx(theirs.tolist(), rel=1e-6, abs=1e-9)
    for ours, name in zip(COLUMNS, theirs.index, strict=True):
        assert ours.replace("_", "") == name.replace(".", "").lower()


@given(arrays.arrays(np.uint8, (9, 8)), arrays.arrays(np.uint8, (9, 8)))
def test_what_lies_beside_an_object_does_not_count(grey, other):
    y, x = np.indices(grey.shape)
    mask = np.hypot(x - 4, y - 4) < 3.5
    assert measure_texture(grey, mask) == measure_texture(np.where(mask, grey, other), mask)


def test_a_chessboard_of_two_greys():
    grey = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = measure_texture(grey, np.ones((8, 8), bool))
    # Next to each other all pixels differ, across corners none does.
    assert found["haralick_contrast_mean"] == pytest.approx(31**2 / 2)
    assert found["haralick_contrast_range"] == pytest.approx(31**2)
    assert found["haralick_correlation_range"] == pytest.approx(2, rel=0.01)
    assert found["haralick_idm_mean"] == pytest.approx((1 + 1 / (1 + 31**2)) / 2)


def test_one_grey_has_no_contrast():
    found = measure_texture(np.full((5, 5), 90, np.uint8), np.ones((5, 5), bool))
    assert found["haralick_asm_mean"] == pytest.approx(1)
    assert found["haralick_contrast_mean"] == found["haralick_correlation_mean"] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1)])
def test_an_object_too_thin_for_pairs_has_no_texture(shape):
    found = measure_texture(np.zeros(shape, np.uint8), np.ones(shape, bool))
    assert all(map(math.isnan, found.values()))
