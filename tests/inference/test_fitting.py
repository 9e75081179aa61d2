"""Tiles that are moved to the tissue cover it, and everything once, with no more tiles."""

from dataclasses import astuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deeplab.geometry.frames import Mpp, WorkFrame
from deeplab.geometry.grid import TilePlan
from deeplab.geometry.tiling import Tiling
from deeplab.inference.fitting import fit_slots
from deeplab.inference.plan import Area, wanted_slots
from deeplab.slides.tissue import TissueMask

TILING = Tiling(multiple=8, extra=1, reach=16, logit_stride=4)
Found = tuple[TilePlan, Area, TissueMask]


@st.composite
def found(draw: st.DrawFn) -> Found:
    """A plan over a slide or a part of it, and a mask of its tissue, some pixels a coarse one."""
    width, height = draw(st.integers(40, 400)), draw(st.integers(40, 400))
    mpp = Mpp.square(0.5)
    work, coarse = (
        WorkFrame.over(width, height, mpp, scale)
        for scale in (draw(st.sampled_from((0.5, 0.7))), draw(st.sampled_from((5.0, 7.7))))
    )
    mask = draw(
        arrays.arrays(bool, (coarse.height, coarse.width), elements=st.booleans(), fill=None)
    )
    if draw(st.booleans()):  # a few pieces on much glass
        mask &= draw(arrays.arrays(bool, mask.shape, elements=st.booleans(), fill=st.just(False)))
    regions = ()
    if draw(st.booleans()):
        x, y = draw(st.integers(0, width - 30)), draw(st.integers(0, height - 30))
        regions = (((x, y), (width, y + 3), (width - 2, height), (x + 1, height)),)
    area = Area.of(regions, work)
    plan = TilePlan(
        area=area.box,
        tile=2 * 16 + 8 * draw(st.integers(1, 8)) + 1,
        halo=16,
        tiling=TILING,
        shift=draw(st.integers(0, 20)),
    )
    return plan, area, TissueMask(mask, coarse)


@given(found())
def test_slots_cover_the_area_once_in_reading_order(found: Found):
    plan, area, tissue = found
    at, row_end = (plan.area.x, plan.area.y), plan.area.y
    for slot, _ in fit_slots(plan, area, tissue):
        box = slot.write
        assert not box.is_empty
        assert {type(side) for side in astuple(box)} == {int}  # which JSON takes, and not NumPy's
        assert (box.x, box.y) == at
        assert box.width <= plan.step >= box.height
        if box.x == plan.area.x:
            row_end = box.bottom
        assert box.bottom == row_end
        at = (box.right, box.y) if box.right < plan.area.right else (plan.area.x, row_end)
    assert at == (plan.area.x, plan.area.bottom)


@given(found())
def test_all_tissue_is_looked_at_with_no_more_tiles_than_on_the_grid(found: Found):
    plan, area, tissue = found
    slots = fit_slots(plan, area, tissue)
    seen = np.zeros((plan.area.height, plan.area.width), bool)
    for slot, wanted in slots:
        assert (slot.read.x + plan.halo - plan.shift) % plan.tiling.multiple == 0
        assert (slot.read.y + plan.halo - plan.shift) % plan.tiling.multiple == 0
        if wanted:
            seen[slot.write.within(plan.area)] = True
    rows = np.arange(plan.area.y, plan.area.bottom) + 0.5
    columns = np.arange(plan.area.x, plan.area.right) + 0.5
    frame = tissue.frame
    coarse_rows = (rows * (area.frame.scale_y / frame.scale_y)).astype(int)
    coarse_columns = (columns * (area.frame.scale_x / frame.scale_x)).astype(int)
    # A last pixel reaches over the slide, maybe with its middle.
    rows_there = np.minimum(coarse_rows, frame.height - 1)
    columns_there = np.minimum(coarse_columns, frame.width - 1)
    there = tissue.mask[np.ix_(rows_there, columns_there)]
    inside = area.clip(np.ones(there.shape, np.uint8), plan.area).astype(bool)
    assert seen[there & inside].all()
    grid = wanted_slots(plan, area, tissue)
    assert sum(wanted for _, wanted in slots) <= sum(wanted for _, wanted in grid)


def test_a_piece_of_tissue_across_the_lines_of_the_grid_is_one_tile():
    frame = WorkFrame.over(400, 400, Mpp.square(0.5), 0.5)
    mask = np.zeros((40, 40), bool)
    mask[7:11, 7:11] = True  # 70 to 110, where the grid has a line at 80
    tissue = TissueMask(mask, WorkFrame.over(400, 400, Mpp.square(0.5), 5.0))
    plan = TilePlan(area=frame.box, tile=2 * 16 + 80 + 1, halo=16, tiling=TILING)
    area = Area.of((), frame)
    (only,) = [slot for slot, wanted in fit_slots(plan, area, tissue) if wanted]
    assert (only.write.x, only.write.y, only.write.width, only.write.height) == (64, 64, 80, 80)
    assert sum(wanted for _, wanted in wanted_slots(plan, area, tissue)) == 4
    assert fit_slots(plan, area, None) == wanted_slots(plan, area, None)
