"""What patches are to show, drawn by lot."""

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from deeplab.config.train_request import PatchSettings
from deeplab.data.draws import CategoricalSampler, Cells, PlaceSampler, SlidePlaces, point_in
from deeplab.errors import ConfigError
from deeplab.exchange.labelling import Labelling
from tests.data.annotated_slides import annotated, labelled

GREY = np.full((96, 96, 3), 180, np.uint8)
RULES = Labelling(classes=("a",))


def draws(slides, *, labels=2, **settings):
    asked = PatchSettings(**{"include_background_prob": 0.0} | settings)
    each = {n: SlidePlaces(s, labels, asked.object_balance) for n, s in enumerate(slides)}
    return PlaceSampler(each, labels, asked)


def labels_drawn(slides, count=1500, **settings):
    drawn, random = draws(slides, **settings), np.random.default_rng(0)
    found = []
    for _ in range(count):
        place = drawn.place(0, random)
        slide = slides[place.slide]
        frame = slide.slide.frame(slide.slide.mpp.mean)
        box = shapely.box(place.x0, place.y0, place.x0, place.y0)
        inside = [k for k, v in slide.shapes.items() if shapely.intersects(box, v).any()]
        found.append((place, inside[0] if inside else 0))
        assert 0 <= place.x0 <= frame.width
        assert 0 <= place.y0 <= frame.height
    return found


def share_of(found, wanted):
    return np.mean([bool(wanted(place, label)) for place, label in found])


THREE = [(1, 48, 48, 40), (2, 304, 48, 40), (3, 48, 400, 40)]


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((), (0.25, 0.25, 0.25, 0.25)),
        ((1, 1, 2, 0), (0.25, 0.25, 0.5, 0)),
        ((0, 0, 0, 3), (0, 0, 0, 1)),
    ],
)
def test_classes_are_drawn_by_their_shares(shares, expected):
    found = labels_drawn([annotated(THREE)], labels=4, class_shares=shares)
    shares = [share_of(found, lambda _, label, n=n: label == n) for n in range(4)]
    assert shares == pytest.approx(expected, abs=0.04)


def test_classes_that_no_slide_has_are_never_drawn():
    found = labels_drawn([annotated([(1, 48, 48, 40)])], labels=4)
    assert share_of(found, lambda _, label: label == 1) == pytest.approx(0.5, abs=0.04)
    with pytest.raises(ConfigError, match="class_shares must be above 0 for a class that some"):
        draws([annotated([(1, 48, 48, 40)])], labels=4, class_shares=(0, 0, 1, 1))


def test_shares_of_another_number_of_classes_are_refused():
    with pytest.raises(ConfigError, match="must be 2 numbers: of the background, then of each"):
        draws([annotated([(1, 48, 48, 40)])], class_shares=(1, 1, 1))


@pytest.mark.parametrize(("balance", "expected"), [("equal", 0.5), ("area", 0.9)])
def test_slides_are_drawn_equally_often_or_by_the_area_drawn_on_them(balance, expected):
    slides = [annotated([(1, 40, 40, 90)]), annotated([(1, 40, 40, 30)])]
    found = labels_drawn(slides, class_shares=(0, 1), slide_balance=balance)
    assert share_of(found, lambda place, _: place.slide == 0) == pytest.approx(expected, abs=0.04)


def test_an_area_is_measured_in_um_so_that_finer_slides_do_not_count_more():
    slides = [annotated([(1, 40, 40, 80)], mpp=0.25), annotated([(1, 40, 40, 40)], mpp=0.5)]
    found = labels_drawn(slides, class_shares=(0, 1), slide_balance="area")
    assert share_of(found, lambda place, _: place.slide == 0) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("balance", "expected"), [("equal", 0.5), ("area", 0.9)])
def test_objects_are_drawn_equally_often_or_by_their_area(balance, expected):
    slide = annotated([(1, 40, 40, 90), (1, 300, 300, 30)])
    found = labels_drawn([slide], class_shares=(0, 1), object_balance=balance)
    assert share_of(found, lambda place, _: place.x0 < 200) == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize(("anywhere", "expected"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_background_lies_on_tissue_except_for_the_share_drawn_anywhere(anywhere, expected):
    tissue = np.zeros((12, 12), np.bool_)
    tissue[6:] = True
    slide = labelled(GREY, {}, RULES, tissue=tissue)
    found = labels_drawn([slide], include_background_prob=anywhere)
    assert share_of(found, lambda place, _: place.y0 >= 48) == pytest.approx(expected, abs=0.04)


def test_background_is_sought_where_it_is_known():
    shapes = {"done": [shapely.box(16, 16, 48, 48)], "a": [shapely.box(16, 16, 48, 32)]}
    rules = Labelling(classes=("a",), exhaustive_layer="done")
    for place, _ in labels_drawn([labelled(GREY, shapes, rules)], 200, class_shares=(1, 0)):
        assert 16 <= place.x0 < 48
        assert 32 <= place.y0 < 48
    tissue = np.ones((12, 12), np.bool_)
    tissue[:, :2] = False
    rules = Labelling(classes=("a",), unannotated="ignore")
    slide = labelled(GREY, shapes, rules, tissue=tissue)
    for place, _ in labels_drawn([slide], 200, class_shares=(1, 0)):
        assert place.x0 < 16


def test_a_slide_without_any_background_is_not_drawn_for_it():
    covered = labelled(GREY, {"a": [shapely.box(0, 0, 96, 96)]}, RULES)
    found = labels_drawn([covered, labelled(GREY, {}, RULES)], 200, class_shares=(1, 0))
    assert share_of(found, lambda place, _: place.slide == 1) == 1


def test_background_is_found_up_to_the_edges():
    found = labels_drawn([labelled(GREY[:90, :93], {}, RULES)])
    places = np.array([place for place, _ in found])
    assert (places[:, 1:].min(axis=0) < 2).all()
    assert (places[:, 1:].max(axis=0) > [91, 88]).all()


def test_a_draw_takes_as_long_with_many_shapes_as_with_few():
    grid = np.arange(0, 90, 0.3)
    many = [shapely.box(x, y, x + 0.1, y + 0.1) for x in grid for y in grid]
    assert len(many) > 80_000
    drawn = [draws([labelled(GREY, {"a": some}, RULES)]) for some in (many[:10], many)]

    def least_seconds(of):
        random = np.random.default_rng(0)
        seconds = []
        for _ in range(200):
            started = time.perf_counter()
            of.place(0, random)
            seconds.append(time.perf_counter() - started)
        return np.median(seconds)

    few, more = map(least_seconds, drawn)
    assert more < 20 * few, "there are 9,000 times as many"


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9).filter(any), st.integers(0, 99))
def test_a_categorical_sampler_draws_only_what_has_a_share(shares, seed):
    sampler = CategoricalSampler(np.array(shares, np.float64))
    drawn = [sampler.draw(np.random.default_rng([seed, n])) for n in range(20)]
    assert all(shares[one] for one in drawn)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_cells_drawn_are_those_of_the_mask(height, width, seed):
    random = np.random.default_rng(seed)
    mask = random.random((height, width)) < 0.3
    mask[random.integers(height), random.integers(width)] = True
    cells = Cells(mask)
    drawn = {cells.draw(random) for _ in range(20 * mask.size)}
    assert drawn <= set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True))
    assert len(drawn) > 0.6 * cells.count == 0.6 * mask.sum()


@given(st.integers(0, 2**32 - 1))
def test_a_point_drawn_in_an_outline_is_inside(seed):
    ring = shapely.Polygon(
        [(0, 0), (100, 0), (100, 100), (0, 100)], [[(5, 5), (95, 5), (95, 95), (5, 95)]]
    )
    x, y = point_in(ring, np.random.default_rng(seed))
    assert ring.intersects(shapely.Point(x, y))


def test_points_in_a_sliver_are_not_always_the_same():
    sliver = shapely.Polygon([(0, 0), (1000, 999), (1000, 1000), (0, 1)])
    points = [point_in(sliver, np.random.default_rng(seed)) for seed in range(40)]
    assert np.std([x for x, _ in points]) > 150
    assert all(sliver.buffer(1e-6).contains(shapely.Point(p)) for p in points)
