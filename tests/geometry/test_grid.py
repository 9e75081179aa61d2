"""Tile plans."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.errors import ConfigError
from deeplab.geometry.frames import WorkBox
from deeplab.geometry.grid import TilePlan
from deeplab.geometry.tiling import Tiling

DEEPLAB = Tiling(multiple=16, extra=1, reach=64, logit_stride=4, decoder_reach=8)
TILINGS = {
    "deeplab": DEEPLAB,
    "u-net": Tiling(multiple=32, extra=0, reach=92, logit_stride=1, decoder_reach=63),
    "efficientdet": Tiling(multiple=128, extra=0, reach=200, logit_stride=4),
    "hovernet original": Tiling(multiple=8, extra=6, reach=120, logit_stride=1, margin=95),
    "hovernet fast": Tiling(multiple=8, extra=0, reach=64, logit_stride=1, margin=46),
    "vit": Tiling(multiple=16, extra=0, reach=48, logit_stride=1, only=384),
}


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    tiling = draw(st.sampled_from(list(TILINGS.values())))
    least, multiple = tiling.whole(tiling.margin), tiling.multiple
    if tiling.only:
        tile, halo = tiling.only, multiple * draw(st.integers(0, 11))
    else:
        halo = least + multiple * draw(st.integers(0, 4))
        tile = 2 * halo + multiple * draw(st.integers(1, 12)) + tiling.extra
    x, y, width, height = (draw(st.integers(low, 300)) for low in (0, 0, 1, 1))
    area = WorkBox(x, y, width, height)
    return TilePlan(
        area=area,
        tile=tile,
        halo=halo,
        tiling=tiling,
        shift=draw(st.integers(0, 100)),
        trim=draw(st.sampled_from((0, tiling.trimmed(halo)))),
    )


@given(plans())
def test_writes_cover_each_pixel_once(plan):
    covered = np.zeros((plan.area.height, plan.area.width), int)
    for slot in plan:
        assert not slot.write.is_empty
        covered[slot.write.within(plan.area)] += 1
    assert (covered == 1).all()
    assert len(list(plan)) == len(plan)


@given(plans())
def test_every_write_has_its_halo_around_it(plan):
    for slot in plan:
        assert slot.write.x - slot.read.x >= plan.halo
        assert slot.write.y - slot.read.y >= plan.halo
        assert slot.read.right - slot.write.right >= plan.halo
        assert slot.read.bottom - slot.write.bottom >= plan.halo


@given(plans())
def test_every_write_lies_inside_what_is_answered(plan):
    margin = max(plan.tiling.margin, plan.trim)
    for slot in plan:
        assert slot.write.intersection(slot.answer) == slot.write
        assert (slot.answer.x - slot.read.x, slot.answer.y - slot.read.y) == (margin, margin)
        assert slot.read.right - slot.answer.right == margin
        assert slot.read.bottom - slot.answer.bottom == margin


def test_no_more_than_the_halo_is_trimmed():
    with pytest.raises(ConfigError, match="trim must be at most 32, the halo, but is 48"):
        TilePlan(area=WorkBox(0, 0, 10, 10), tile=129, halo=32, tiling=DEEPLAB, trim=48)


@given(plans())
def test_tiles_lie_on_one_grid_of_multiples_wherever_the_area_begins(plan):
    for slot in plan:
        assert plan.tiling.accepts(slot.read.width)
        assert (slot.read.x - plan.shift) % plan.tiling.multiple == 0
        assert (slot.read.y - plan.shift) % plan.tiling.multiple == 0


@given(plans())
def test_tiles_come_in_reading_order(plan):
    places = [(slot.write.y, slot.write.x) for slot in plan]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("network", "tile", "halo", "sentence"),
    [
        ("deeplab", 512, 0, "tile size must be a multiple of 16 plus 1, but is 512"),
        ("deeplab", 513, 100, "halo must be a multiple of 16, but is 100"),
        ("deeplab", 257, 128, "tile size must be at least 273 with a halo of 128, but is 257"),
        (
            "hovernet original",
            80,
            96,
            "tile size must be a multiple of 8 plus 6, at least 198, but",
        ),
        ("hovernet original", 270, 88, "halo must be a multiple of 8, at least 96, but is 88"),
        ("vit", 400, 0, "tile size must be 384, but is 400"),
        ("vit", 384, 192, "halo must be at most 176, but is 192"),
    ],
)
def test_an_impossible_plan_is_refused(network, tile, halo, sentence):
    with pytest.raises(ConfigError, match=sentence):
        TilePlan(area=WorkBox(0, 0, 10, 10), tile=tile, halo=halo, tiling=TILINGS[network])
