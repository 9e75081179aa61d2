"""The level-0 and work frames, and the one conversion between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.errors import ConfigError
from deeplab.geometry.frames import SNAP, Level0Box, Mpp, WorkBox, WorkFrame

sizes = st.integers(1, 100_000)
scales = st.floats(0.1, 2.0)


@given(sizes, sizes, scales, scales)
def test_work_pixels_cover_the_slide_and_no_more_than_one_stands_over(w, h, mpp, work):
    frame = WorkFrame.over(w, h, Mpp.square(mpp), work)
    assert frame.width * frame.scale_x >= w - 1e-6
    assert (frame.width - 1) * frame.scale_x < w
    assert frame.height * frame.scale_y >= h - 1e-6
    assert (frame.height - 1) * frame.scale_y < h


@given(scales, scales)
def test_scale_changes_by_at_most_the_snap(mpp, work):
    frame = WorkFrame.over(1000, 1000, Mpp.square(mpp), work)
    assert frame.work_mpp == pytest.approx(work, rel=SNAP / (1 - SNAP) + 1e-9)
    assert frame.scale_x * mpp == pytest.approx(frame.work_mpp)


def test_half_a_micron_on_a_slide_of_0_499_reads_level_0_as_it_is():
    frame = WorkFrame.over(2220, 2967, Mpp.square(0.499), 0.5)
    assert (frame.scale_x, frame.scale_y, frame.width, frame.height) == (1, 1, 2220, 2967)
    assert frame.work_mpp == 0.499


def test_a_scale_far_from_a_power_of_two_is_kept():
    frame = WorkFrame.over(1000, 1000, Mpp.square(0.25), 0.4)
    assert frame.scale_x == pytest.approx(1.6)
    assert frame.work_mpp == 0.4


def test_pixels_that_are_not_square_become_square():
    frame = WorkFrame.over(1000, 1000, Mpp(0.25, 0.5), 1.0)
    assert (frame.scale_x, frame.scale_y) == (4, 2)
    assert frame.um2_per_level0_pixel == pytest.approx(0.125)


@given(
    st.integers(-500, 500), st.integers(-500, 500), st.integers(1, 500), st.integers(1, 500), scales
)
def test_a_work_box_survives_the_way_to_level_0_and_back(x, y, w, h, work):
    frame = WorkFrame.over(5000, 5000, Mpp.square(0.25), work)
    box = WorkBox(x, y, w, h)
    assert frame.to_work(frame.to_level0(box)) == box


@given(st.floats(-100, 5000), st.floats(-100, 5000), st.floats(0.1, 500), st.floats(0.1, 500))
def test_the_work_box_of_a_level_0_box_covers_it(x0, y0, w, h):
    frame = WorkFrame.over(5000, 5000, Mpp.square(0.25), 0.4)
    back = frame.to_level0(frame.to_work(Level0Box(x0, y0, w, h)))
    assert back.x0 <= x0 + 1e-6
    assert back.x0 + back.width >= x0 + w - 1e-6
    assert back.y0 <= y0 + 1e-6
    assert back.y0 + back.height >= y0 + h - 1e-6


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), float("inf"), 5000])
def test_an_impossible_scale_is_refused(mpp):
    with pytest.raises(ConfigError, match="um per pixel"):
        Mpp.square(mpp)


def test_an_empty_region_is_refused_in_one_sentence():
    with pytest.raises(
        ConfigError, match=r"region must be wider and higher than 0, but is '0 x 5'"
    ):
        Level0Box(1, 1, 0, 5)
