"""Tile plans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.errors import ConfigError
from deeplab.geometry.frames import WorkBox
from deeplab.geometry.grid import TilePlan

plans = st.builds(
    lambda x, y, w, h, step, halo, shift: TilePlan(
        area=WorkBox(x, y, w, h), tile=16 * (step + 2 * halo) + 1, halo=16 * halo, shift=shift
    ),
    x=st.integers(0, 300),
    y=st.integers(0, 300),
    w=st.integers(1, 300),
    h=st.integers(1, 300),
    step=st.integers(1, 12),
    halo=st.integers(0, 4),
    shift=st.integers(0, 100),
)


@given(plans)
def test_writes_cover_each_pixel_once(plan):
    covered = np.zeros((plan.area.height, plan.area.width), int)
    for slot in plan:
        assert not slot.write.is_empty
        covered[slot.write.within(plan.area)] += 1
    assert (covered == 1).all()
    assert len(list(plan)) == len(plan)


@given(plans)
def test_every_write_has_its_halo_around_it(plan):
    for slot in plan:
        assert slot.write.x - slot.read.x >= plan.halo
        assert slot.write.y - slot.read.y >= plan.halo
        assert slot.read.right - slot.write.right >= plan.halo
        assert slot.read.bottom - slot.write.bottom >= plan.halo


@given(plans)
def test_tiles_lie_on_one_grid_of_strides_wherever_the_area_begins(plan):
    for slot in plan:
        assert (slot.read.x - plan.shift) % plan.stride == 0
        assert (slot.read.y - plan.shift) % plan.stride == 0


@given(plans)
def test_tiles_come_in_reading_order(plan):
    places = [(slot.write.y, slot.write.x) for slot in plan]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("tile", "halo", "sentence"),
    [
        (512, 0, "tile size must be a multiple of 16 plus 1, but is 512"),
        (513, 100, "halo must be 0 or a multiple of 16, but is 100"),
        (257, 128, "tile size must be at least 273 with a halo of 128, but is 257"),
    ],
)
def test_an_impossible_plan_is_refused(tile, halo, sentence):
    with pytest.raises(ConfigError, match=sentence):
        TilePlan(area=WorkBox(0, 0, 10, 10), tile=tile, halo=halo)
