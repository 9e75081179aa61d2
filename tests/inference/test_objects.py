"""Each nucleus once, whole, however the slide is cut into tiles."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.inference.collectors import objects
from tests.inference.planes import (
    LARGEST,
    TYPES,
    Plane,
    collect,
    ious,
    plane_of,
    slots_over,
    without_edge,
)

PLANE = plane_of(1, 250, 210, 500)
ROUND = without_edge(plane_of(2, 250, 210, 500, least=6))
COUNT = int(PLANE.instances.max())
STEPS = st.sampled_from([24, 40, 64, 104, 256])
SHIFTS = st.integers(0, 7)


def assert_each_once(plane, found, least_iou):
    table = ious(plane, found)
    assert len(found) == table.shape[0]
    assert (table.max(axis=1) >= least_iou).all()
    assert (table.max(axis=0) >= least_iou).all()


@pytest.mark.slow
@settings(max_examples=12)
@given(seed=st.integers(0, 1000), step=STEPS, shift=SHIFTS)
def test_each_nucleus_is_found_once_and_whole_whatever_the_tiles(seed, step, shift):
    plane = plane_of(seed, 150, 130, 120)
    found, _ = collect(plane, slots_over(plane.box, step=step, shift=shift))
    assert_each_once(plane, found, 1.0)


@pytest.mark.slow
@settings(max_examples=8)
@given(step=STEPS, shift=SHIFTS)
def test_tiles_that_see_a_nucleus_at_other_places_neither_double_nor_lose_it(step, shift):
    slots = slots_over(ROUND.box, step=step, shift=shift, lead=LARGEST + 6)
    found, _ = collect(ROUND, slots, jitter=1)
    table = ious(ROUND, found)
    assert table.shape[0] == table.shape[1]
    assert (np.count_nonzero(table >= 0.4, axis=1) == 1).all()


def test_label_probability_and_area_go_with_each_nucleus():
    found, _ = collect(PLANE, slots_over(PLANE.box, step=64))
    nuclei = ious(PLANE, found).argmax(axis=0) + 1
    sizes = np.bincount(PLANE.instances.ravel())
    for shape, nucleus in zip(found, nuclei.tolist(), strict=True):
        assert shape.label == nucleus % TYPES
        assert shape.area_px_work == sizes[nucleus]
        assert shape.confidence == pytest.approx(0.9)
        assert shape.label_probability == pytest.approx(0.5 + nucleus % 7 / 20)


def test_a_nucleus_of_a_region_is_whole_if_its_centre_lies_in_it():
    region = ((120.0, 80.0), (401.0, 80.0), (401.0, 301.0), (120.0, 301.0))
    area = PLANE.area(region)
    found, _ = collect(PLANE, slots_over(area.box, step=40), area)
    table = ious(PLANE, found)
    assert (table.max(axis=0) == 1).all()
    centres = [np.argwhere(PLANE.instances == n + 1).mean(axis=0) + 0.5 for n in range(COUNT)]
    inside = {n for n, (y, x) in enumerate(centres) if 120 <= 2 * x < 401 and 80 <= 2 * y < 301}
    assert set(table.argmax(axis=0)) == inside
    assert shapely.union_all([shape.polygon for shape in found]).bounds[0] < 120


def bean(width, height, row, column, long, short):
    """A plane with one bent object, larger than what a tile sees beyond its write box."""
    rows, columns = np.mgrid[:height, :width]
    bent = row + 0.3 * short * np.cos((columns - column) / long * 2)
    inside = ((rows - bent) / short) ** 2 + ((columns - column) / long) ** 2 <= 1
    return Plane(inside.astype(np.int32))


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    row=st.integers(60, 100),
    column=st.integers(70, 130),
    long=st.integers(20, 60),
    short=st.integers(8, 40),
    lead=st.integers(4, 14),
    step=st.sampled_from([24, 40, 64]),
    shift=SHIFTS,
)
def test_a_nucleus_of_any_size_is_found_once_and_whole(row, column, long, short, lead, step, shift):
    plane = bean(200, 160, row, column, long, short)
    found, _ = collect(plane, slots_over(plane.box, step=step, lead=lead, shift=shift))
    assert_each_once(plane, found, 1.0)


def test_a_large_one_that_tiles_see_at_other_places_is_found_once():
    plane = bean(200, 160, 80, 100, 50, 20)
    slots = list(slots_over(plane.box, step=40, lead=10))
    columns = sorted({slot.read.x for slot in slots})
    moved = {x: bean(200, 160, 80 + i % 3, 100 - i % 2, 50, 20) for i, x in enumerate(columns)}
    found, _ = collect(plane, slots, see=moved)
    assert_each_once(plane, found, 0.9)


@pytest.mark.slow
def test_small_ones_beside_a_large_one_stay_as_they_are():
    plane = plane_of(1, 250, 210, 500)
    large = bean(250, 210, 100, 120, 60, 25).instances > 0
    numbers = np.where(large, plane.instances.max() + 1, plane.instances)
    _, numbered = np.unique(np.where(cut_by(large, plane), 0, numbers), return_inverse=True)
    plane = Plane(numbered.reshape(numbers.shape).astype(np.int32))
    found, _ = collect(plane, slots_over(plane.box, step=40))
    assert_each_once(plane, found, 1.0)


def cut_by(mask, plane):
    """What is left of the nuclei that a mask covers in part."""
    return ~mask & np.isin(plane.instances, plane.instances[mask])


def test_a_nucleus_that_no_tiles_together_show_whole_is_left_out_and_said(caplog):
    plane = bean(200, 160, 80, 100, 60, 20)
    area = plane.area(((120.0, 100.0), (280.0, 100.0), (280.0, 240.0), (120.0, 240.0)))
    found, _ = collect(plane, slots_over(area.box, step=40, lead=8), area)
    assert not found
    assert "1 objects are larger than the halo" in caplog.text


def test_a_large_nucleus_of_a_region_counts_if_its_centre_lies_in_it():
    plane = bean(200, 160, 80, 100, 30, 20)
    for left, count in ((180.0, 1), (220.0, 0)):
        area = plane.area(((left, 20.0), (390.0, 20.0), (390.0, 300.0), (left, 300.0)))
        found, _ = collect(plane, slots_over(area.box, step=40, lead=24), area)
        assert len(found) == count


def test_of_one_that_only_one_of_two_tiles_has_in_two_nothing_is_lost_or_there_twice():
    plane = plane_of(1, 128, 64, 0)
    plane.instances[20:36, 50:66] = 1  # its centre is on the left, of its parts one on each side
    parted = plane_of(1, 128, 64, 0)
    parted.instances[20:36, 50:62], parted.instances[20:36, 62:66] = 1, 2
    slots = list(slots_over(plane.box, step=64))
    for seen in ((plane, parted), (parted, plane)):
        by_tile = dict(zip((slot.read.x for slot in slots), seen, strict=True))
        found, _ = collect(plane, slots, see=by_tile)
        assert sum(shape.area_px_work for shape in found) == 256
        assert shapely.union_all([shape.polygon for shape in found]).area == 4 * 256


@pytest.mark.slow
def test_what_is_held_in_memory_does_not_grow_with_the_rows(monkeypatch):
    held = []
    part = objects.part_settled

    def counted(versions, top, frame):
        held.append(len(versions))
        return part(versions, top, frame)

    monkeypatch.setattr(objects, "part_settled", counted)
    tall = plane_of(3, 96, 1200, 900)
    found, _ = collect(tall, slots_over(tall.box, step=64))
    assert len(found) == tall.instances.max()
    assert max(held) < len(found) / 5


def test_the_label_map_and_the_heatmap_hold_the_nuclei(tmp_path):
    _, rasters = collect(
        PLANE,
        slots_over(PLANE.box, step=64),
        output_mask=tmp_path / "m.tiff",
        save_heatmap=True,
        heatmap_um=4.0,
    )
    expected = np.where(PLANE.instances % TYPES, PLANE.instances % TYPES, TYPES)
    expected[PLANE.instances == 0] = 0
    np.testing.assert_array_equal(rasters._canvas.part(PLANE.box), expected)
    rasters.close()
    heat = rasters.heatmaps()
    assert [each.name for each in heat] == ["first", "second"]
    assert all(0.4 < each.points[:, 2].max() <= 0.9 for each in heat)
