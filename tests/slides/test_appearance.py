"""How stained tissue looks: darkness and colour, whatever the size of the piece."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.data.stains import restain
from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.slides.appearance import FEATURES, features_of, map_stain, measure_appearance
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.tissue import Thumbnail, read_thumbnail
from tests.slides_for_tests import PINK, tissue

DENSITY, RED, GREEN = range(len(FEATURES))


def appearance_of(rgb, mpp=16.0):
    return measure_appearance(map_stain(read_thumbnail(ArraySlide(rgb, Mpp.square(mpp)))))


@pytest.fixture(scope="module")
def rgb():
    return tissue(300, 200)[0]


@given(st.floats(0.1, 3), st.tuples(*[st.floats(0.12, 0.6)] * 3))
def test_more_of_the_same_stain_changes_the_density_alone(factor, density):
    once, more = features_of(np.array(density)), features_of(factor * np.array(density))
    assert more[DENSITY] - once[DENSITY] == pytest.approx(np.log2(factor), abs=1e-9)
    assert more[[RED, GREEN]] == pytest.approx(once[[RED, GREEN]], abs=1e-9)


def test_hardly_any_density_has_no_features():
    assert np.isnan(features_of(np.array([0.0, 0.01, 0.005]))).all()
    assert features_of(np.zeros((4, 5, 3))).shape == (4, 5, 3)


def test_the_features_are_those_of_the_tissue_and_not_of_the_glass(rgb):
    painted = -np.log10((np.array(PINK) + 1) / 256)
    assert appearance_of(rgb).features == pytest.approx(features_of(painted), abs=0.05)


@pytest.mark.parametrize(
    ("amounts", "feature", "sign"),
    [((0.5, 0.5, 0.5), DENSITY, -1), ((2, 1, 1), RED, 1), ((1, 2, 1), RED, -1)],
)
def test_another_stain_is_another_appearance(rgb, amounts, feature, sign):
    stained = restain(rgb, amounts=np.array(amounts, float), grounds=np.zeros(3))
    change = appearance_of(stained).features - appearance_of(rgb).features
    assert sign * change[feature] > 0.05


def test_halves_of_a_slide_look_alike(rgb):
    left, right = (appearance_of(np.ascontiguousarray(half)) for half in np.split(rgb, 2, axis=1))
    assert left.features == pytest.approx(right.features, abs=0.05)


@pytest.mark.parametrize("finer", [1, 2, 8])
def test_a_slide_is_as_large_as_its_tissue_in_squares_of_half_a_millimetre(finer):
    rgb, there = tissue(200, 160)
    pixels = rgb.repeat(finer, axis=0).repeat(finer, axis=1)
    squares = there.sum() * 16**2 / 500**2
    assert appearance_of(pixels, 16 / finer).squares == pytest.approx(squares, rel=0.02)


def test_squares_of_two_stains_differ_and_those_of_one_do_not(rgb):
    paler = restain(rgb, amounts=np.full(3, 0.4), grounds=np.zeros(3))
    both = appearance_of(np.hstack([rgb, paler]))
    assert both.within[DENSITY] > 0.5
    assert appearance_of(rgb).within[DENSITY] < 0.3
    assert appearance_of(np.full((4, 4, 3), PINK, np.uint8)).within is None


def test_what_nothing_tells_from_glass_has_no_appearance():
    glass = np.full((60, 60, 3), 240, np.uint8)
    dark = np.zeros((60, 60, 3), np.uint8)
    dark[20:40, 20:40, 2] = 200
    assert appearance_of(glass) is None
    assert appearance_of(dark) is None


def test_a_fluorescent_slide_has_no_appearance(rgb):
    frame = WorkFrame.over(300, 200, Mpp.square(16.0), 16.0)
    assert map_stain(Thumbnail(rgb, frame, are_colours=False)) is None
