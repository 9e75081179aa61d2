"""What does not fit into memory at once is answered in parts, and the same."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from deeplab.geometry.frames import WorkBox
from deeplab.geometry.grid import TilePlan
from deeplab.geometry.tiling import Tiling
from deeplab.inference.smaller_tiles import SmallerTiles, part_sides


class Network:
    """Says at each pixel what is brightest within the halo, if a batch has no more pixels."""

    def __init__(self, plan: TilePlan, most_pixels: float) -> None:
        self.plan, self.most_pixels, self.asked = plan, most_pixels, []

    def __call__(self, tiles):
        self.asked.append(tiles.shape[:2])
        if len(tiles) * tiles.shape[1] ** 2 > self.most_pixels:
            raise MemoryError("OOM when allocating tensor")
        size = 2 * self.plan.halo + 1
        seen = ndimage.maximum_filter(tiles[..., 0], (1, size, size), mode="constant")
        trim, stride = max(self.plan.trim, self.plan.tiling.margin), self.plan.tiling.logit_stride
        answered = seen[:, trim : seen.shape[1] - trim, trim : seen.shape[2] - trim]
        return {"labels": answered, "confidence": answered[:, ::stride, ::stride, None] / 255}


@st.composite
def plans(draw: st.DrawFn) -> TilePlan:
    """Tiles of networks with corners on corners, or a logit a pixel, or a margin."""
    multiple = draw(st.sampled_from((4, 8)))
    extra, stride, margin = draw(st.sampled_from(((0, 1, 0), (1, 4, 0), (1, 2, 0), (3, 1, 6))))
    tiling = Tiling(multiple=multiple, extra=extra, reach=8, logit_stride=stride, margin=margin)
    halo = draw(st.integers(-(-max(margin, 1) // multiple), 3)) * multiple
    tile = draw(st.integers(1, 9)) * multiple + extra + 2 * halo
    trim = 0 if margin else draw(st.integers(0, halo // multiple)) * multiple
    return TilePlan(
        area=WorkBox(0, 0, 10, 10), tile=tile, halo=halo, tiling=tiling, trim=max(trim, margin)
    )


def kept(maps, plan: TilePlan):
    """What of the maps of tiles is kept."""
    first = plan.halo - plan.trim
    labels = maps["labels"][:, first : first + plan.step, first : first + plan.step]
    stride = plan.tiling.logit_stride
    cells = slice(first // stride, (first + plan.step) // stride)
    return labels, maps["confidence"][:, cells, cells]


@given(plans(), st.integers(1, 3), st.floats(0.05, 3), st.integers(0, 99))
def test_the_answer_of_parts_is_that_of_the_tile(plan, count, share, seed):
    shape = (count, plan.tile, plan.tile, 3)
    tiles = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    whole = Network(plan, np.inf)(tiles)
    predict = SmallerTiles(Network(plan, share * plan.tile**2), plan, least_side=0)
    try:
        answer = predict(tiles)
    except MemoryError:
        step, multiple = plan.step, plan.tiling.multiple
        while step > multiple:  # down to parts of one cell
            step = plan.tiling.whole(-(-step // 2))
        assert (step + plan.tiling.extra + 2 * plan.halo) ** 2 > share * plan.tile**2
        return
    for name, values in answer.items():
        assert values.shape == whole[name].shape
        assert values.dtype == whole[name].dtype
    for values, expected in zip(kept(answer, plan), kept(whole, plan), strict=True):
        np.testing.assert_array_equal(values, expected)


PLAN = TilePlan(
    area=WorkBox(0, 0, 500, 500),
    tile=161,
    halo=32,
    tiling=Tiling(multiple=16, extra=1, reach=32, logit_stride=4),
)


def test_what_was_too_large_is_neither_tried_nor_said_again(caplog):
    network = Network(PLAN, 120**2)
    predict = SmallerTiles(network, PLAN, least_side=65)
    tiles = np.zeros((2, 161, 161, 3), np.uint8)
    predict(tiles)
    asked = [(2, 161), (1, 161), *[(1, 113)] * 4, *[(1, 113)] * 4]
    assert network.asked == asked
    predict(tiles)
    assert network.asked == asked + [(1, 113)] * 8
    assert [record.getMessage() for record in caplog.records] == [
        "memory does not suffice for 2 tiles at once: one by one from here",
        "memory does not suffice for tiles of 161 pixels: in parts of 113 from here",
    ]
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_no_part_is_smaller_than_a_network_needs():
    with pytest.raises(MemoryError):
        SmallerTiles(Network(PLAN, 120**2), PLAN, least_side=129)(np.zeros((1, 161, 161, 3)))


def test_tiles_of_a_network_that_takes_one_side_only_have_no_parts():
    tiling = Tiling(multiple=1, extra=0, reach=0, logit_stride=1, only=64)
    plan = TilePlan(area=PLAN.area, tile=64, halo=0, tiling=tiling)
    tiles = np.zeros((2, 64, 64, 3), np.uint8)
    assert SmallerTiles(Network(plan, 64**2), plan, least_side=0)(tiles)["labels"].shape[0] == 2
    with pytest.raises(MemoryError):
        SmallerTiles(Network(plan, 63**2), plan, least_side=0)(tiles)


@given(plans(), st.integers(1, 40))
def test_the_sides_of_parts_are_those_that_are_asked_for(plan, least_side):
    network = Network(plan, 0)
    tiles = np.zeros((1, plan.tile, plan.tile, 3), np.uint8)
    with pytest.raises(MemoryError):
        SmallerTiles(network, plan, least_side=least_side)(tiles)
    assert part_sides(plan, least_side=least_side) == tuple(s for _, s in network.asked[1:])
