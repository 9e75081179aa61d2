from __future__ import annotations

import numpy as np
import pytest

from deeplab.slides.colours import to_rgb
from tests.slides_for_tests import noise

RGB = noise(20, 10)


def test_rgb_bytes_are_left_as_they_are():
    assert np.array_equal(to_rgb(RGB), RGB)


@pytest.mark.parametrize("pixels", [RGB[..., 0], RGB[..., :1]])
def test_grey_is_repeated(pixels):
    assert np.array_equal(to_rgb(pixels), np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("kind", "top"), [(np.uint16, 65535), (np.uint32, 2**32 - 1), (np.float32, 1.0), (np.bool_, 1)]
)
def test_other_types_are_scaled_by_their_range(kind, top):
    pixels = np.array([[[0, 0, top], [top, top, 0]]], np.float64).astype(kind)
    assert np.array_equal(to_rgb(pixels), [[[0, 0, 255], [255, 255, 0]]])


def test_what_is_not_a_number_is_black():
    assert np.array_equal(to_rgb(np.array([[np.nan, 0.5]])), [[[0] * 3, [128] * 3]])


def test_alpha_mixes_with_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 51]]], np.uint8)
    assert np.array_equal(to_rgb(rgba), [[[10, 20, 30], [255] * 3, [204, 224, 255]]])


def test_grey_with_alpha_mixes_with_white():
    assert np.array_equal(to_rgb(np.array([[[0, 255], [0, 0]]], np.uint8)), [[[0] * 3, [255] * 3]])


def test_of_many_bands_the_first_three_are_taken():
    assert np.array_equal(to_rgb(np.dstack([RGB, RGB])), RGB)
