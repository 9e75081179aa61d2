"""Scales are quarters, so that a tile has whole cells at each of them."""

import pytest

from deeplab.config.views import View, cell_multiple, reach_factor, views_of
from deeplab.errors import ConfigError


def test_a_view_is_at_each_scale_in_each_way():
    assert views_of((1.0,), mirrored=(False,)) == (View(),)
    assert views_of((0.75, 2), mirrored=(False, True)) == (
        View(quarters=3), View(quarters=3, mirrored=True),
        View(quarters=8), View(quarters=8, mirrored=True),
    )  # fmt: skip


@pytest.mark.parametrize("scales", [(), (0.3,), (0.25,), (2.25,), (1, 1), (float("nan"),)])
def test_scales_are_different_quarters_within_bounds(scales):
    with pytest.raises(ConfigError, match="eval_scales must be different multiples of 0.25"):
        views_of(scales, mirrored=(False,))


@pytest.mark.parametrize(
    ("scales", "cells", "reach"),
    [
        ((1,), 1, 1),
        ((0.5, 1, 1.5), 2, 2),
        ((0.75, 1.25), 4, 4 / 3),
        ((2,), 1, 1),
        ((1, 1.75), 4, 1),
    ],
)
def test_a_tile_of_so_many_cells_is_whole_at_every_scale(scales, cells, reach):
    views = views_of(scales, mirrored=(False, True))
    assert cell_multiple(views) == cells
    assert reach_factor(views) == pytest.approx(reach)
    for scale in scales:
        assert float(cells * scale).is_integer()
