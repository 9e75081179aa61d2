"""Stains deconvolved and mixed anew: HistomicsTK's own results, many times faster."""

import numpy as np
import pytest
from histomicstk.preprocessing.augmentation.color_augmentation import perturb_stain_concentration
from histomicstk.preprocessing.color_deconvolution import color_deconvolution, stain_color_map
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deeplab.data.stains import STAINS, UNMIX, restain
from tests.slides_for_tests import noise, tissue

NAMED = np.array([stain_color_map["hematoxylin"], stain_color_map["eosin"], [0, 0, 0]])


def histomicstk(rgb, seed, *, spread, ground):
    """Its own perturbation, and the amounts and grounds that it drew."""
    deconvolved = color_deconvolution(rgb, NAMED.T)
    np.random.seed(seed)  # noqa: NPY002  it draws from there
    drawn = np.random.uniform(-1, 1, (3, 2))  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    after = perturb_stain_concentration(
        deconvolved.StainsFloat, deconvolved.Wc, sigma1=spread, sigma2=ground
    )
    return after, 1 + spread * drawn[:, 0], ground * drawn[:, 1]


def test_the_stains_are_histomicstks():
    complete = color_deconvolution(noise(4, 4), NAMED.T).Wc
    assert pytest.approx(complete.T) == STAINS


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rgb", [noise(64, 48), tissue(64, 48)[0]])
def test_stains_change_as_in_histomicstk(rgb, seed):
    expected, amounts, grounds = histomicstk(rgb, seed, spread=0.4, ground=8.0)
    after = restain(rgb, amounts=amounts, grounds=grounds)
    # It cuts fractions off where we round.
    assert set(np.unique(after.astype(int) - expected)) <= {0, 1}
    assert np.abs(after.astype(int) - rgb).mean() > 3


@given(arrays.arrays(np.uint8, (5, 7, 3)))
def test_the_same_stains_give_the_same_pixels(rgb):
    same = restain(rgb, amounts=np.ones(3), grounds=np.zeros(3))
    assert (same == rgb).all()


@given(st.floats(0, 2), st.floats(0, 100), st.floats(0, 100))
def test_twice_the_haematoxylin_is_twice_its_darkness(amount, haematoxylin, eosin):
    darkness = np.array([haematoxylin, eosin, 0]) @ STAINS
    rgb = np.rint(256 ** (1 - darkness / 255) - 1).astype(np.uint8).reshape(1, 1, 3)
    after = restain(rgb, amounts=np.array([amount, 1, 1]), grounds=np.zeros(3))
    held, found = (-np.log((v + 1.0) / 256) / np.log(256) * 255 @ UNMIX for v in (rgb, after))
    expected = held * np.array([amount, 1, 1])
    light = 256 ** (1 - expected @ STAINS / 255) - 1
    if (light <= 255).all():
        assert 256 ** (1 - found @ STAINS / 255) - 1 == pytest.approx(light, abs=0.51)
