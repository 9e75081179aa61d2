"""Outlines become lesions: merged when near, measured across, called by their size."""

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import pdist

from deeplab.evaluation.lesions import NodeLesions, category_of, find_lesions, most_severe
from deeplab.geometry.frames import Mpp

SQUARE = Mpp.square(0.5)


@pytest.mark.parametrize(
    ("mm", "category"),
    [(0.0, "itc"), (0.1999, "itc"), (0.2, "micro"), (2.0, "micro"), (2.0001, "macro")],
)
def test_a_lesion_is_called_by_its_diameter(mm, category):
    assert category_of(mm) == category


def test_the_diameter_is_the_longest_way_across_in_um_of_the_slide():
    (lesion,) = find_lesions([shapely.box(0, 0, 300, 400)], SQUARE, 75)
    assert lesion.diameter_mm == pytest.approx(0.25)
    assert lesion.area_mm2 == pytest.approx(0.15 * 0.2)
    (lesion,) = find_lesions([shapely.box(0, 0, 300, 400)], Mpp(2.0, 0.25), 75)
    assert lesion.diameter_mm == pytest.approx(math.hypot(0.6, 0.1))


def test_outlines_are_one_lesion_up_to_the_distance_and_two_beyond():
    boxes = [shapely.box(0, 0, 100, 100), shapely.box(250, 0, 350, 100)]  # 75 um apart
    (one,) = find_lesions(boxes, SQUARE, 75)
    assert one.diameter_mm == pytest.approx(math.hypot(175, 50) / 1000)
    assert one.area_mm2 == pytest.approx(2 * 0.05**2)
    assert len(find_lesions(boxes, SQUARE, 74.9)) == 2


def test_a_chain_of_neighbours_is_one_lesion_and_overlaps_count_once():
    chain = [shapely.box(x, 0, x + 150, 100) for x in range(0, 1000, 100)]
    (one,) = find_lesions(chain, SQUARE, 0)
    assert one.area_mm2 == pytest.approx(1050 * 100 * 0.25e-6)


def test_what_lies_in_the_hole_of_a_lesion_is_of_it_and_holes_have_no_area():
    ring = shapely.box(0, 0, 2000, 2000) - shapely.box(200, 200, 1800, 1800)
    (one,) = find_lesions([ring, shapely.box(900, 900, 1100, 1100)], SQUARE, 75)
    assert one.diameter_mm == pytest.approx(math.sqrt(2))
    assert one.area_mm2 == pytest.approx((2000**2 - 1600**2 + 200**2) * 0.25e-6)


def test_a_slide_is_called_by_its_largest_lesion():
    micro, itc = shapely.box(0, 0, 500, 500), shapely.box(5000, 0, 5100, 100)
    node = NodeLesions("a", find_lesions([itc, micro], SQUARE, 75))
    assert node.category == "micro"
    assert node.count() == {"micro": 1, "itc": 1}
    assert node.largest_mm == pytest.approx(0.25 * math.sqrt(2))
    assert NodeLesions("a", ()).category == "negative"
    assert NodeLesions("a", ()).largest_mm == 0
    assert most_severe([]) == "negative"


BOXES = st.lists(
    st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 25), st.integers(1, 25)),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=40)
@given(BOXES, st.integers(0, 12))
def test_lesions_are_those_of_a_slow_search_through_pixels(boxes, apart):
    """Pixels of 10 um: parts of drawn pixels, filled, joined while any two corners are near."""
    drawn = np.zeros((120, 120), bool)
    polygons = []
    for x, y, width, height in boxes:
        drawn[y : y + height, x : x + width] = True
        polygons.append(shapely.box(x, y, x + width, y + height))
    merge_um = 10 * apart + 0.5  # between the distances that pixels can have
    labels, count = ndimage.label(drawn, np.ones((3, 3)))
    groups = [{n} for n in range(1, count + 1)]
    corners = {n: _corners(ndimage.binary_fill_holes(labels == n)) for n in range(1, count + 1)}

    def near(one, other):
        # Corners of filled parts; pixels between them make edges no longer than a pixel.
        ways = corners[one][:, None] - corners[other][None]
        return 10 * np.sqrt((ways**2).sum(-1)).min() <= merge_um or _inside(labels, one, other)

    joined = True
    while joined:
        joined = False
        for a in groups:
            for b in groups:
                if a is not b and any(near(i, j) for i in a for j in b):
                    a |= b
                    groups.remove(b)
                    joined = True
                    break
            if joined:
                break
    slow = sorted(10 * pdist(np.concatenate([corners[n] for n in g])).max() for g in groups)
    fast = find_lesions(polygons, Mpp.square(10.0), merge_um)
    assert sorted(1000 * lesion.diameter_mm for lesion in fast) == pytest.approx(slow)
    total = drawn.sum() * 1e-4
    assert sum(lesion.area_mm2 for lesion in fast) == pytest.approx(total)


def _corners(mask):
    rows, columns = np.nonzero(mask)
    return np.unique(
        np.concatenate([np.stack([columns + i, rows + j], 1) for i in (0, 1) for j in (0, 1)]),
        axis=0,
    ).astype(float)


def _inside(labels, one, other):
    return bool((ndimage.binary_fill_holes(labels == one) & (labels == other)).any())
