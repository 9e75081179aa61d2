"""Pixels of objects through windows: the right ones, at a scale that fits, in little memory."""

import math
import warnings

import numpy as np
import pytest
import shapely

from deeplab.errors import UnreadableSlideError
from deeplab.features import windows
from deeplab.features.windows import COLUMNS, PixelReading, measure_windows
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from tests.features.drawn import disc
from tests.slides_for_tests import PURPLE, tissue

HALF = Mpp.square(0.5)
READING = PixelReading(work_mpp=0.5, staining="he")


def painted(side=600, mpp=HALF):
    """A slide whose red is x / 4 and whose green is y / 4 of the place."""
    rgb = np.zeros((side, side, 3), np.uint8)
    rgb[..., 0] = np.arange(side) // 4
    rgb[..., 1] = np.arange(side)[:, None] // 4
    return ArraySlide(rgb, mpp)


def measured(slide, *polygons, reading=READING):
    ticks = []
    columns = measure_windows(
        slide, np.array(polygons, dtype=object), reading, lambda: ticks.append(1)
    )
    assert tuple(columns) == COLUMNS
    return columns, len(ticks)


def test_each_object_has_the_pixels_of_its_own_place_whatever_the_order():
    places = [(500, 80), (40, 500), (300, 300), (60, 60), (520, 520)]
    columns, ticks = measured(painted(), *(disc(x, y, 20) for x, y in places))
    assert ticks == len(places)
    for row, (x, y) in enumerate(places):
        assert columns["red_mean"][row] == pytest.approx(x / 4, abs=0.6)
        assert columns["green_mean"][row] == pytest.approx(y / 4, abs=0.6)
    assert set(columns["read_mpp"]) == {0.5}


def test_the_pixels_of_a_hole_are_not_the_objects():
    slide = ArraySlide(np.full((200, 200, 3), 100, np.uint8), Mpp(0.5, 0.5))
    slide_with_hole = painted(200)
    ring = disc(100, 100, 60) - disc(100, 100, 40)
    columns, _ = measured(slide_with_hole, ring, disc(100, 100, 60))
    assert columns["red_std"][0] > columns["red_std"][1]
    assert measured(slide, ring)[0]["red_std"][0] == 0


def test_pixels_need_not_be_square():
    slide = painted(400, Mpp(0.25, 0.5))
    columns, _ = measured(slide, shapely.box(100, 100, 300, 200))
    assert columns["red_mean"][0] == pytest.approx(200 / 4, abs=0.6)
    assert columns["green_mean"][0] == pytest.approx(150 / 4, abs=0.6)


def test_an_object_too_large_for_a_window_is_read_coarser(monkeypatch):
    monkeypatch.setattr(windows, "MAX_PIXELS", 100 * 100)
    slide = painted(600)
    columns, _ = measured(slide, shapely.box(0, 0, 600, 600), disc(100, 100, 20))
    assert columns["read_mpp"].tolist() == [4.0, 0.5]
    assert columns["red_mean"][0] == pytest.approx(300 / 4, abs=1)
    assert math.isnan(columns["nucleus_count"][0]), "at 4 um there are no nuclei to see"
    assert not math.isnan(columns["nucleus_count"][1])


def test_nothing_is_read_finer_than_it_was_scanned():
    columns, _ = measured(painted(200, Mpp(1.0, 1.0)), disc(100, 100, 30))
    assert columns["read_mpp"].tolist() == [1.0]


@pytest.mark.parametrize(
    "polygon",
    [
        shapely.Polygon(),
        shapely.box(0, 0, math.nan, 5),
        shapely.box(10.6, 10.6, 10.9, 10.9),  # between two centres of pixels
        shapely.box(-500, -500, -400, -400),  # beside the slide
        shapely.Polygon([(0, 0), (50, 50), (20, 20)]),
    ],
    ids=["empty", "nan", "tiny", "beside", "flat"],
)
def test_what_has_no_pixels_has_no_numbers(polygon):
    columns, _ = measured(painted(100), polygon)
    assert np.isnan([values[0] for values in columns.values()]).all()


def test_the_slides_edge_cuts_an_object():
    slide = ArraySlide(np.full((100, 100, 3), 90, np.uint8), Mpp(0.5, 0.5))
    columns, _ = measured(slide, disc(100, 50, 30))
    assert (columns["red_min"][0], columns["red_max"][0]) == (90, 90), "glass beside it is white"


def test_a_slide_that_breaks_ends_the_reading(monkeypatch):
    slide = painted(200)

    def broken(*_):
        raise UnreadableSlideError("s.svs", "has a broken tile")

    monkeypatch.setattr(slide, "read", broken)
    with pytest.raises(UnreadableSlideError, match="broken tile"):
        measured(slide, disc(100, 100, 20))


def test_nuclei_are_sought_without_a_warning_to_the_user():
    rgb, _ = tissue(200, 200)
    rgb[60:80, 60:80] = PURPLE
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        measured(ArraySlide(rgb, Mpp(0.5, 0.5)), shapely.box(0, 0, 200, 200))
    assert not [each for each in caught if "RegionProperties" in str(each.message)]
