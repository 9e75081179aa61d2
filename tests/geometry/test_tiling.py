"""Which tiles networks accept."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

tilings = st.builds(
    lambda multiple, extra, reach, margin: Tiling(
        multiple=multiple, extra=extra % multiple, reach=reach, logit_stride=1, margin=margin
    ),
    multiple=st.sampled_from((1, 8, 16, 32, 128)),
    extra=st.integers(0, 127),
    reach=st.integers(0, 500),
    margin=st.integers(0, 100),
)


@given(tilings, st.integers(1, 3000))
def test_the_next_longer_side_is_the_least_that_is_accepted(tiling: Tiling, side: int):
    longer = tiling.round_up(max(side, tiling.least))
    assert tiling.accepts(longer)
    assert not any(tiling.accepts(s) for s in range(max(side, tiling.least), longer))


@given(tilings)
def test_a_usual_tile_has_a_halo_that_the_network_cannot_look_over(tiling: Tiling):
    halo = tiling.halo
    assert halo >= max(tiling.reach, tiling.margin)
    assert halo % tiling.multiple == 0
    tile = tiling.side_with(halo, most=8193)
    tiling.check(tile=tile, halo=halo)
    assert tile <= 8193
    assert tiling.step(tile, halo) ** 2 >= 0.44 * (tile - tiling.extra) ** 2


def test_the_sides_of_the_papers_are_accepted():
    original = Tiling(multiple=8, extra=6, reach=95, logit_stride=1, margin=95)
    assert original.accepts(270)
    assert (original.halo, original.least) == (96, 198)
    assert Tiling(multiple=8, extra=0, reach=46, logit_stride=1, margin=46).accepts(256)
    only = Tiling(multiple=16, extra=0, reach=0, logit_stride=1, only=384)
    assert only.accepts(384)
    assert not only.accepts(400)
    assert only.side_with(64, most=8193) == 384


def test_a_network_of_large_maps_says_what_side_is_usual():
    large = Tiling(multiple=8, extra=6, reach=128, logit_stride=1, margin=95, usual=648)
    assert large.side_with(large.halo, most=8193) == 654
    with pytest.raises(ConfigError, match="usual must be at least 270 with a halo of 128"):
        Tiling(multiple=8, extra=6, reach=128, logit_stride=1, margin=95, usual=262)


@given(tilings, st.integers(0, 40), st.integers(0, 200))
def test_what_is_trimmed_leaves_the_decoder_what_it_looks_at(tiling: Tiling, cells: int, reach):
    halo = max(tiling.whole(tiling.margin), cells * tiling.multiple)
    trimmed = replace(tiling, decoder_reach=reach).trimmed(halo)
    assert tiling.margin <= trimmed <= halo
    if trimmed > tiling.margin:
        assert reach
        assert trimmed % tiling.multiple == 0
        assert halo - trimmed >= reach


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"multiple": 0}, "multiple must be at least 1, but is 0"),
        ({"extra": 16}, "extra must be below 16, but is 16"),
        ({"margin": -1}, "margin must be at least 0, but is -1"),
        ({"only": 100}, "only must be of 1 beside multiples of 16 and beyond the margin"),
        ({"only": 17, "margin": 9}, "only must be of 1 beside"),
    ],
)
def test_a_tiling_that_cannot_be_is_refused(wrong: dict[str, int], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        replace(Tiling(multiple=16, extra=1, reach=0, logit_stride=4), **wrong)
