"""Each nucleus once, whole, however the slide is cut into tiles."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.inference.collectors import objects
from tests.inference.planes import LARGEST, TYPES, collect, ious, plane_of, slots_over, without_edge

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


def test_a_nucleus_that_reaches_out_of_every_tile_is_left_out_and_said(caplog):
    plane = plane_of(1, 100, 80, 0)
    plane.instances[20:60, 5:95] = 1
    found, _ = collect(plane, slots_over(plane.box, step=24))
    assert not found
    assert "larger than the halo shows" in caplog.text


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


def test_what_is_held_in_memory_does_not_grow_with_the_rows(monkeypatch):
    held = []
    part = objects.part_settled

    def counted(versions, top):
        held.append(len(versions))
        return part(versions, top)

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
