"""Pictures of objects: the right ones, with their outline, at a scale that shows them."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from deeplab.features.gallery import SIDE, chosen, take_pictures
from deeplab.geometry.frames import Mpp
from deeplab.slides.array_slide import ArraySlide
from tests.features.drawn import disc

GREEN = (0, 255, 0)


def taken(*radii, mpp=0.5, side=1500):
    slide = ArraySlide(np.full((side, side, 3), 120, np.uint8), Mpp.square(mpp))
    polygons = np.array([disc(side / 2, side / 2, radius) for radius in radii], dtype=object)
    areas = np.array([math.pi * (radius * mpp) ** 2 for radius in radii])
    return take_pictures(slide, polygons, areas, GREEN)


def test_the_smallest_the_middle_and_the_largest_are_taken_each_once():
    assert [picture.number for picture in taken(50, 10, 30, 20, 90)] == [2, 3, 5]
    assert [picture.number for picture in taken(50, 10)] == [2, 1]
    assert [picture.number for picture in taken(50)] == [1]
    assert taken() == []


def test_objects_without_an_area_are_not_taken():
    slide = ArraySlide(np.zeros((90, 90, 3), np.uint8), Mpp.square(0.5))
    polygons = np.array([disc(40, 40, 9)] * 3, dtype=object)
    found = take_pictures(slide, polygons, np.array([math.nan, 0.0, 5.0]), GREEN)
    assert [picture.number for picture in found] == [3]


@pytest.mark.parametrize("radius", [4, 60, 700])
def test_an_object_fills_a_part_of_its_picture(radius):
    (picture,) = taken(radius)
    with Image.open(io.BytesIO(picture.jpeg)) as opened:
        pixels = np.asarray(opened).astype(int)
    assert abs(pixels.shape[0] - SIDE) <= SIDE * 0.06
    assert picture.side_um >= 1.5 * 2 * radius * 0.5 * 0.99
    outline = np.argwhere(pixels[..., 1] - pixels[..., 0] > 80)
    across = np.ptp(outline[:, 0]) / pixels.shape[0] * picture.side_um
    assert across == pytest.approx(2 * radius * 0.5, rel=0.12, abs=1.5)
    assert (picture.x_level0, picture.y_level0) == pytest.approx((750, 750), abs=0.01)


def test_of_all_slides_the_extremes_and_the_median_are_chosen():
    found = chosen([*taken(50, 10, 30), *taken(5, 70)], median_um2=math.pi * 15**2)
    assert [round(math.sqrt(each.area_um2 / math.pi) / 0.5) for each in found.values()] == [
        5,
        30,
        70,
    ]
    assert chosen([], math.nan) == {}


def test_no_object_is_shown_twice():
    assert list(chosen(taken(50), 1.0)) == ["only one"]
    assert list(chosen(taken(50, 10), 1.0)) == ["smallest", "largest"]
