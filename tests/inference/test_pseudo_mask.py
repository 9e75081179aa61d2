"""A pseudo mask has the classes of its patch, wherever each speaks most."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from deeplab.inference.pseudo_mask import pseudo_mask
from deeplab.slides.tissue import find_bright_ground

SPEAKING = st_numpy.arrays(
    np.float32, (3, 4, 3), elements=st.integers(-50, 50).map(lambda value: value / 4)
)
PRESENT = st_numpy.arrays(np.bool_, 3)


@given(activation=SPEAKING, present=PRESENT)
def test_each_pixel_has_the_present_class_that_speaks_most(activation, present):
    mask = pseudo_mask(activation, present)
    if not present.any():
        assert (mask == 3).all()
        return
    assert present[mask].all()
    of_mask = np.take_along_axis(activation, mask[..., None].astype(int), axis=2)[..., 0]
    np.testing.assert_array_equal(of_mask, activation[..., present].max(axis=2))


@given(activation=SPEAKING, present=PRESENT, ground=st_numpy.arrays(np.bool_, (3, 4)))
def test_scale_and_offset_do_not_matter_and_ground_is_of_no_class(activation, present, ground):
    mask = pseudo_mask(activation, present, ground)
    np.testing.assert_array_equal(pseudo_mask(8 * activation + 2, present, ground), mask)
    assert (mask[ground] == 3).all()
    np.testing.assert_array_equal(mask[~ground], pseudo_mask(activation, present)[~ground])


@pytest.mark.parametrize(("side", "is_ground"), [(7, False), (8, True)])
def test_ground_is_bright_in_parts_of_fifty_pixels(side, is_ground):
    rgb = np.full((40, 40, 3), 200, np.uint8)  # not above
    rgb[5 : 5 + side, 5 : 5 + side] = 201
    rgb[30:37, 30:37] = rgb[37:40, 37:40] = 255  # 49 pixels, and 9 that touch by a corner only
    ground = find_bright_ground(rgb)
    assert ground.sum() == (side * side if is_ground else 0)
    assert ground[5, 5] == is_ground
