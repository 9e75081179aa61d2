from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.errors import ConfigError, UnreadableSlideError
from deeplab.geometry.frames import Mpp, WorkBox
from deeplab.slides import pyramid
from deeplab.slides.array_slide import ArraySlide
from deeplab.slides.pyramid import PyramidShape, PyramidSlide, Tile, TileCache, levels_worth_reading
from tests.slides_for_tests import RAMP, halved, noise, ramp

NOISE = noise(203, 151)


class PaintedTiles:
    """A pyramid in memory, its levels halves of each other, that counts what is read."""

    description = "painted"
    kind = ""

    def __init__(self, rgb, tile=32, levels=4, usable=None):
        self.levels = [rgb]
        for _ in range(levels - 1):
            self.levels.insert(0, halved(self.levels[0]))
        self.shape = PyramidShape(
            width_level0=rgb.shape[1],
            height_level0=rgb.shape[0],
            tile_width=tile,
            tile_height=tile,
            levels=levels,
            usable=usable or tuple(range(levels)),
        )
        self.read_tiles: list[Tile] = []

    def read(self, tiles):
        self.read_tiles += tiles
        side = self.shape.tile_width
        return [
            self.levels[t.level][t.y * side : (t.y + 1) * side, t.x * side : (t.x + 1) * side]
            for t in tiles
        ]

    def close(self):
        pass


def painted(rgb=NOISE, **options):
    return PyramidSlide(PaintedTiles(rgb, **options), name="painted", mpp=Mpp(0.5, 0.5))


boxes = st.builds(
    WorkBox, st.integers(-20, 220), st.integers(-20, 170), st.integers(1, 90), st.integers(1, 90)
)


@settings(max_examples=150)
@given(box=boxes, work_mpp=st.floats(0.2, 9.0), tile=st.sampled_from([16, 32, 50]))
def test_a_work_pixel_has_the_same_value_whichever_box_it_is_read_through(box, work_mpp, tile):
    slide = painted(tile=tile)
    frame = slide.frame(work_mpp)
    whole_box = WorkBox(-30, -30, min(frame.width, 300) + 60, min(frame.height, 300) + 60)
    whole = slide.read(frame, whole_box)
    common = box.intersection(whole_box)
    if not common.is_empty:
        part = slide.read(frame, box)
        assert np.array_equal(part[common.within(box)], whole[common.within(whole_box)])


def test_boxes_too_large_for_memory_are_read_in_parts_that_show_no_seam(monkeypatch):
    slide = painted()
    frame = slide.frame(0.8)
    whole = slide.read(frame, frame.box)
    monkeypatch.setattr(pyramid, "WINDOW_PIXELS", 500)
    assert np.array_equal(slide.read(frame, frame.box), whole)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_level_of_the_pyramid_is_read_as_it_is(level):
    slide = painted()
    frame = slide.frame(0.5 * 2**level)
    there = slide._reader.levels[3 - level]
    read = slide.read(frame, WorkBox(0, 0, there.shape[1], there.shape[0]))
    assert np.array_equal(read, there)
    assert {tile.level for tile in slide._reader.read_tiles} == {3 - level}


@pytest.mark.parametrize(
    ("work_mpp", "level"), [(0.3, 3), (0.5, 3), (0.9, 3), (1.03, 2), (1.9, 2), (4, 0), (50, 0)]
)
def test_the_coarsest_level_that_is_fine_enough_is_taken(work_mpp, level):
    slide = painted()
    assert slide._shape.level_for(slide.frame(work_mpp)) == level


def test_a_level_that_is_not_usable_is_passed_over():
    slide = painted(usable=(1, 3))
    assert slide._shape.level_for(slide.frame(1.0)) == 3
    assert slide._shape.level_for(slide.frame(8.0)) == 1


@pytest.mark.parametrize("work_mpp", [0.37, 0.5, 0.61, 0.75, 1.0, 1.3, 1.7, 2.0, 3.3, 5.0])
def test_pixels_do_not_move(work_mpp):
    slide = painted(ramp(250, 230), tile=64)
    frame = slide.frame(work_mpp)
    rgb = slide.read(frame, frame.box).astype(float)
    for channel, scale, axis in ((0, frame.scale_x, 1), (1, frame.scale_y, 0)):
        inner = slice(2, rgb.shape[axis] - 2)
        centres = ((np.arange(rgb.shape[axis]) + 0.5) * scale)[inner]
        found = rgb[..., channel].mean(axis=1 - axis)[inner] / RAMP
        assert abs(np.mean(found - centres)) / max(1, scale) < 0.05
        assert np.abs(found - centres).max() / max(1, scale) < 0.5  # a step of colour is 1.1


def test_scales_that_differ_along_the_axes_are_each_kept():
    slide = ArraySlide(ramp(200, 100), Mpp(0.5, 1.0))
    frame = slide.frame(1.0)
    rgb = slide.read(frame, frame.box)
    assert rgb.shape == (100, 100, 3)
    assert np.abs(rgb[..., 0].mean(axis=0) / RAMP - (np.arange(100) * 2 + 1)).max() < 0.7
    assert np.abs(rgb[..., 1].mean(axis=1) / RAMP - (np.arange(100) + 0.5)).max() < 0.7


@pytest.mark.parametrize("work_mpp", [0.3, 0.5, 0.7, 1.0, 3.1])
def test_outside_the_slide_is_white_and_inside_is_not(work_mpp):
    slide = ArraySlide(np.zeros((91, 101, 3), np.uint8), Mpp.square(0.5))
    frame = slide.frame(work_mpp)
    around = WorkBox(-3, -2, frame.width + 8, frame.height + 9)
    rgb = slide.read(frame, around)
    inside = np.zeros(rgb.shape[:2], bool)
    inside[frame.box.within(around)] = True
    assert np.all(rgb[~inside] == 255)
    assert np.all(rgb[inside] == 0)


def test_a_box_beside_the_slide_is_white_and_reads_nothing():
    slide = painted()
    rgb = slide.read(slide.frame(0.5), WorkBox(-50, 10, 50, 5))
    assert rgb.shape == (5, 50, 3)
    assert np.all(rgb == 255)
    assert slide._reader.read_tiles == []


def test_one_colour_stays_that_colour_at_every_scale():
    slide = ArraySlide(np.full((80, 90, 3), 255, np.uint8) - np.uint8([0, 1, 100]), Mpp.square(1))
    for work_mpp in (0.3, 0.77, 1.31, 2.9, 11.3):
        frame = slide.frame(work_mpp)
        assert np.all(slide.read(frame, frame.box) == [255, 254, 155])


def test_tiles_are_kept_up_to_the_capacity_and_the_oldest_go():
    reader = PaintedTiles(NOISE)
    cache = TileCache(reader, capacity=2)
    one, two, three = (Tile(3, x, 0) for x in range(3))
    cache.get([one, two])
    cache.get([one])
    cache.get([three])
    cache.get([one, three])
    assert reader.read_tiles == [one, two, three]
    cache.get([two])
    assert reader.read_tiles[-1] == two


def test_more_tiles_than_the_capacity_are_still_all_there():
    reader = PaintedTiles(NOISE)
    tiles = [Tile(3, x, y) for x in range(6) for y in range(4)]
    pixels = TileCache(reader, capacity=2).get(tiles)
    assert all(map(np.array_equal, pixels, reader.read(tiles)))


def test_a_tile_is_read_once_however_many_threads_want_it():
    reader = PaintedTiles(NOISE)
    begun = threading.Barrier(4)
    cache = TileCache(reader, capacity=100)

    def want(_):
        begun.wait()
        return cache.get([Tile(3, x, 1) for x in range(5)])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(want, range(4)))
    assert len(reader.read_tiles) == 5
    assert all(np.array_equal(answer[4], answers[0][4]) for answer in answers)


def test_a_failed_read_fails_for_all_and_is_tried_again_next_time():
    reader = PaintedTiles(NOISE)
    cache = TileCache(reader, capacity=10)
    good = reader.read

    def bad(_):
        raise UnreadableSlideError("s.svs", "is damaged")

    reader.read = bad
    with pytest.raises(UnreadableSlideError):
        cache.get([Tile(3, 0, 0)])
    reader.read = good
    assert len(cache.get([Tile(3, 0, 0)])) == 1


def test_an_array_that_is_no_rgb_image_is_refused():
    with pytest.raises(ConfigError, match="uint8"):
        ArraySlide(np.zeros((5, 5)), Mpp.square(1))


@pytest.mark.parametrize(
    ("full", "worth"), [((8,), (0, 1, 2, 3, 4, 5, 8)), ((2, 4, 6), (2, 4, 6)), ((3, 5), (0, 3, 5))]
)
def test_levels_that_a_file_lacks_are_read_only_far_below_those_it_has(full, worth):
    assert levels_worth_reading(full) == worth


def test_a_tile_that_is_too_small_is_an_error_and_not_white():
    slide = painted()
    good = slide._reader.read
    slide._reader.read = lambda tiles: [rgb[:, :-1] for rgb in good(tiles)]
    with pytest.raises(UnreadableSlideError, match="incomplete tile 1/0"):
        slide.read(slide.frame(0.5), WorkBox(40, 0, 24, 10))


def test_what_is_read_may_be_painted_over():
    slide = ArraySlide(NOISE.copy(), Mpp.square(0.5))
    frame = slide.frame(0.5)
    slide.read(frame, frame.box)[:] = 0
    assert np.array_equal(slide.read(frame, frame.box), NOISE)
