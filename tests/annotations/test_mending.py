import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from deeplab.annotations.mending import (
    ENCLOSES_NOTHING,
    SLIP_SHARE,
    TANGLED,
    MendingTally,
    is_tangled,
    mend,
)
from tests.pace import at_this_pace

SQUARE = shapely.box(0, 0, 100, 100)
SLIPS = ("overshoot", "spike", "doubled points", "bow tie at the end", "zigzag", "turned back")


def nucleus(random: np.random.Generator) -> np.ndarray:
    """An outline as a hand draws it, of 4 to 40 px radius, in hundredths of a pixel."""
    count = int(random.integers(12, 80))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = random.uniform(4, 40) * (
        1 + 0.2 * np.sin(2 * angle + random.uniform(0, 6)) + 0.1 * np.sin(3 * angle)
    )
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) + random.uniform(
        0, 5e4, 2
    )


def slipped(ring: np.ndarray, slip: str, random: np.random.Generator) -> np.ndarray:
    """The outline with one slip of the hand, or of the program that wrote it."""
    at = int(random.integers(2, len(ring) - 2))
    step = ring[at + 1] - ring[at]
    if slip == "overshoot":  # the hand goes on past its beginning
        over = ring[0] + random.uniform(0.05, 0.9) * (ring[1] - ring[0])
        across = random.normal(0, 0.3, 2)
        ring = np.vstack([ring, over + across])
    elif slip == "spike":
        ring = np.insert(ring, at + 1, [ring[at] + random.normal(0, 3, 2), ring[at]], axis=0)
    elif slip == "doubled points":
        ring = np.repeat(ring, random.integers(1, 4, len(ring)), axis=0)
    elif slip == "bow tie at the end":
        ring = np.vstack([ring[:-2], ring[-1], ring[-2]])
    elif slip == "zigzag":
        ring = np.repeat(ring, 4, axis=0) + random.normal(0, 0.03, (4 * len(ring), 2))
    elif slip == "turned back":
        ring = np.insert(ring, at + 1, [ring[at + 1], ring[at] + 0.5 * step], axis=0)
    return np.round(ring, 2)


@pytest.mark.slow
def test_ten_thousand_outlines_drawn_by_hand_stay_as_many_objects_of_their_size():
    random = np.random.default_rng(7)
    mended = parted = 0
    for number in range(10_000):
        ring = nucleus(random)
        found = mend(shapely.Polygon(slipped(ring, SLIPS[number % len(SLIPS)], random)))
        drawn = shapely.Polygon(ring)
        assert found.area is not None
        assert found.area.is_valid
        assert found.area.area == pytest.approx(drawn.area, rel=0.15, abs=6)
        mended += found.crossed
        parted += isinstance(found.area, shapely.MultiPolygon)
    assert mended > 3_000
    assert parted < mended / 20  # a slip leaves a sliver, but for the smallest outlines


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_of_the_hand_leaves_one_outline(slip):
    random = np.random.default_rng(3)
    ring = nucleus(random)
    ring = 10 * (ring - ring.min(axis=0))
    found = mend(shapely.Polygon(slipped(ring, slip, random)))
    assert isinstance(found.area, shapely.Polygon)
    assert found.area.is_valid


def test_a_figure_eight_is_one_object_of_two_parts():
    found = mend(shapely.Polygon([(0, 0), (40, 40), (40, 0), (0, 40)]))
    assert [part.area for part in found.area.geoms] == [400, 400]
    assert (found.crossed, found.slivers) == (True, 0)


def test_what_an_outline_goes_round_twice_is_inside():
    twice = [(0, 0), (60, 0), (60, 60), (0, 60), (0, -1), (61, -1), (61, 30), (-1, 30)]
    found = mend(shapely.Polygon(twice))
    assert shapely.contains_xy(found.area, 30, 15)


def test_a_loop_at_the_end_goes_and_is_counted():
    hair = [(0, 0), (100, 0), (100, 100), (0, 100), (0.5, -1)]
    found = mend(shapely.Polygon(hair))
    assert isinstance(found.area, shapely.Polygon)
    assert found.slivers == 1
    assert 0 < found.sliver_area < 1


@pytest.mark.parametrize(
    ("beside", "kept"),
    [
        (shapely.box(200, 0, 200.9, 1), False),  # smaller than a pixel
        (shapely.box(200, 0, 240, 0.4), False),  # narrower than one: 0.8 px by the mean
        (shapely.box(200, 0, 209, 9), True),  # drawn as it is: nothing was mended
        (shapely.box(200, 0, 201, 1), True),  # one pixel, as in a mask
    ],
)
def test_what_is_a_part_of_an_object_drawn_in_several(beside, kept):
    found = mend(shapely.MultiPolygon([SQUARE, beside]))
    assert isinstance(found.area, shapely.MultiPolygon) == kept
    assert not found.crossed


@pytest.mark.parametrize(("side", "kept"), [(9.9, False), (10.1, True)])
def test_a_mended_part_below_a_hundredth_stays_from_ten_pixels_on(side, kept):
    """A speck of the width of a nucleus may be one; a narrower one is a slip of the hand."""
    far = 400.0
    eight = [(0, 0), (far, far), (far, 0), (0, far)]
    eight = [(0, 0), (far, 0), (far, far), (-side, far), (-side, far + side), (0, far + side)]
    found = mend(shapely.Polygon(eight))
    assert side**2 < SLIP_SHARE * far**2
    assert isinstance(found.area, shapely.MultiPolygon) == kept


def test_the_largest_part_stays_however_small_it_is():
    found = mend(shapely.Polygon([(0, 0), (0.6, 0.6), (0.6, 0), (0, 0.5)]))
    assert isinstance(found.area, shapely.Polygon)
    assert found.slivers == 1


def test_a_hole_over_the_edge_is_cut_out():
    found = mend(shapely.Polygon(SQUARE.exterior, [[(50, 50), (150, 50), (150, 75), (50, 75)]]))
    assert found.area.equals(SQUARE - shapely.box(50, 50, 100, 75))


def test_a_hole_that_crosses_itself_by_a_hair_is_one_hole():
    hole = [(20, 20), (60, 20), (60, 60), (20, 60), (20.5, 19)]
    found = mend(shapely.Polygon(SQUARE.exterior, [hole]))
    assert len(found.area.interiors) == 1
    assert found.slivers == 1
    assert found.area.area == pytest.approx(100**2 - 40**2, abs=10)


def test_a_hole_over_the_edge_by_a_hair_leaves_no_parts():
    hole = [(0.005, 0.005), (-0.01, 60), (60, 60), (60, -0.01)]
    found = mend(shapely.Polygon(SQUARE.exterior, [hole]))
    assert isinstance(found.area, shapely.Polygon)
    assert found.area.area == pytest.approx(100**2 - 60**2, abs=2)


def test_outlines_that_share_a_side_grow_together_and_count_as_drawn_well():
    found = mend(shapely.MultiPolygon([shapely.box(0, 0, 50, 50), shapely.box(50, 0, 90, 50)]))
    assert found.area.equals(shapely.box(0, 0, 90, 50))
    assert not found.crossed


@pytest.mark.parametrize("points", [[(0, 0), (4, 4), (0, 0)], [(1, 1), (1, 1), (1, 1)]])
def test_an_outline_that_encloses_nothing_says_so(points):
    assert mend(shapely.Polygon(points)).refusal == ENCLOSES_NOTHING


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 2), min_size=3, max_size=20))
def test_every_outline_becomes_one_valid_area_or_encloses_nothing(points):
    found = mend(shapely.Polygon(points))
    assert found.area.is_valid if found.area else found.refusal == ENCLOSES_NOTHING
    assert found.area is None or mend(found.area).area.equals(found.area)


def seconds(drawn) -> float:
    begin = time.process_time()
    assert mend(drawn).refusal == TANGLED
    return time.process_time() - begin


def test_what_takes_time_with_the_square_of_its_points_is_refused_at_once():
    random = np.random.default_rng(0)
    tangle = shapely.Polygon(1000 * random.random((3_000, 2)))
    angle = np.linspace(0, 2 * np.pi, 6_000, endpoint=False)
    star = np.zeros((12_000, 2))
    star[1::2] = 100 * np.column_stack([np.cos(angle), np.sin(angle)])
    laps = np.tile(np.array(SQUARE.exterior.coords)[:-1], (3_000, 1))
    rays = np.stack([star[::2], star[1::2], 1.0001 * star[1::2] + (0, 1e-4)], axis=1)
    holes = shapely.Polygon(shapely.box(-200, -200, 200, 200).exterior, rays)
    for drawn in (tangle, shapely.Polygon(star), shapely.Polygon(laps), holes):
        assert seconds(drawn) < at_this_pace(10)


def test_a_long_outline_that_crosses_itself_here_and_there_is_no_tangle():
    angle = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    circle = 5_000 * np.column_stack([np.cos(angle), np.sin(angle)])
    jitter = np.random.default_rng(1).normal(0, 1, circle.shape)
    drawn = shapely.Polygon(circle + jitter)
    assert not drawn.is_valid
    assert not is_tangled(drawn)
    assert mend(drawn).area.area == pytest.approx(np.pi * 5_000**2, rel=0.01)


def test_one_line_through_all_the_others_is_no_tangle():
    comb = np.column_stack([np.repeat(np.arange(3_000), 2), np.tile([0, 9, 9, 0], 1_500)])
    drawn = shapely.Polygon([*comb, (3_000, 5), (-1, 5.5)])
    assert not is_tangled(drawn)


def test_what_was_mended_is_said_in_one_sentence():
    tally = MendingTally()
    assert tally.sentence() == ""
    hair = [(0, 0), (100, 0), (100, 100), (0, 100), (0.5, -1)]
    for ring in (hair, hair, [(0, 0), (40, 40), (40, 0), (0, 40)]):
        tally.add(mend(shapely.Polygon(ring)))
    assert tally.sentence() == (
        "3 outlines crossed themselves and were mended; 1 of them fell into parts, which stay one"
        " object; 2 slivers of 0.5 px² in all left out"
    )
