import time

import numpy as np
import shapely

from deeplab.annotations.formats.exclusions import Exclusions
from deeplab.annotations.mending import CUT_OUT_WHOLE
from tests.pace import at_this_pace

HOLE = shapely.box(10, 10, 30, 30)


def excluding(*areas):
    exclusions = Exclusions()
    for area in areas:
        exclusions.add(area)
    return exclusions


def test_what_is_excluded_is_cut_out_of_what_it_meets():
    left = excluding(HOLE, shapely.box(35, 0, 90, 40)).cut(shapely.box(0, 0, 40, 40), 1)
    assert left.area.equals(shapely.box(0, 0, 35, 40) - HOLE)


def test_a_shape_within_a_hole_is_an_island_even_when_rounded_over_its_edge():
    island = shapely.box(10 - 0.005, 10, 20, 20.004)
    assert excluding(HOLE).cut(island, 1).area == island


def test_what_falls_apart_stays_one_object_of_two_parts():
    left = excluding(shapely.box(10, -5, 20, 50)).cut(shapely.box(0, 0, 30, 10), 1)
    assert [part.area for part in left.area.geoms] == [100, 100]


def test_what_is_left_along_a_hole_that_runs_over_the_outline_is_no_part():
    hole = shapely.Polygon([(-1, 0.02), (40.5, 0.02), (40.5, 20), (-1, 20)])
    left = excluding(hole).cut(shapely.box(0, 0, 40, 40), 1)
    assert left.area.equals(shapely.box(0, 20, 40, 40))
    assert (left.slivers, round(left.sliver_area, 6)) == (1, 0.8)


def test_a_shape_that_is_excluded_whole_says_so():
    exclusions = Exclusions()
    exclusions.add(shapely.box(0, 0, 40, 40), 1)
    left = exclusions.cut(shapely.box(0, 0, 40, 40), 1)
    assert (left.area, left.refusal) == (None, CUT_OUT_WHOLE)


def test_areas_that_no_shape_meets_are_counted():
    exclusions = excluding(HOLE, shapely.box(500, 500, 510, 510))
    assert exclusions.unmet == 2
    exclusions.cut(shapely.box(0, 0, 40, 40), 1)
    assert exclusions.unmet == 1


def test_outlines_that_cross_themselves_are_cut_by_what_they_enclose():
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    assert excluding(bow).cut(shapely.box(0, 0, 10, 10), 1).area.area == 50


def test_what_has_an_owner_is_cut_out_of_that_alone():
    exclusions = Exclusions()
    exclusions.add(HOLE, 2)
    around = shapely.box(0, 0, 40, 40)
    assert exclusions.cut(around, 1).area == around
    assert exclusions.unmet == 1
    assert exclusions.cut(around, 2).area.equals(around - HOLE)
    assert exclusions.unmet == 0


def test_many_shapes_over_each_other_with_many_holes_take_time_with_their_number():
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    disc = np.column_stack([np.cos(angle), np.sin(angle)])
    jitter = np.random.default_rng(0).normal(0, 0.1, (400, 40, 2))
    exclusions = excluding(*map(shapely.Polygon, 20 * disc + jitter))
    begin = time.process_time()
    for number, ring in enumerate(50 * disc + jitter):
        assert len(exclusions.cut(shapely.Polygon(ring), number).area.interiors) == 1
    assert time.process_time() - begin < at_this_pace(
        8
    )  # 28 s where each puts the holes together anew
