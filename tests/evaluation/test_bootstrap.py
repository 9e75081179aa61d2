"""Bootstrap intervals: repeatable, of whole slides, NaN where there is one slide only."""

import numpy as np
import pytest
from scipy import stats

from deeplab.evaluation.bootstrap import Resampling, interval_of_slides, intervals_of_pooled
from deeplab.evaluation.instances import InstanceSums
from deeplab.evaluation.semantic import Confusion

RESAMPLING = Resampling()


def dice_of(counts):
    return Confusion.of(counts).dice


def bounds(interval):
    return [interval.value, interval.low, interval.high]


def test_the_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(1).normal(0.8, 0.1, 40)
    found = interval_of_slides(values, Resampling(draws=20_000))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert bounds(found) == pytest.approx([values.mean(), theirs.low, theirs.high], abs=2e-3)


def test_the_interval_of_pooled_counts_is_that_of_summing_slides_drawn_again():
    random = np.random.default_rng(3)
    slides = random.integers(0, 100, (12, 2, 2))
    found = intervals_of_pooled(slides, Resampling(draws=5_000), dice_of)
    drawn = np.array(
        [dice_of(slides[random.integers(12, size=12)].sum(axis=0)) for _ in range(5000)]
    )
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    for label, interval in enumerate(found):
        expected = [dice_of(slides.sum(axis=0))[label], low[label], high[label]]
        assert bounds(interval) == pytest.approx(expected, abs=0.01)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(4).random(20)
    one, same, other = (interval_of_slides(values, Resampling(seed=seed)) for seed in (7, 7, 8))
    assert one == same
    assert one != other
    slides = np.random.default_rng(4).integers(0, 100, (9, 2, 2))
    pooled = [intervals_of_pooled(slides, Resampling(seed=seed), dice_of) for seed in (7, 7, 8)]
    assert pooled[0] == pooled[1] != pooled[2]


def test_more_confidence_is_a_wider_interval_about_the_figure():
    values = np.random.default_rng(5).random(30)
    narrow, wide = (interval_of_slides(values, Resampling(confidence=c)) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_slides_that_are_all_the_same_leave_no_doubt():
    assert bounds(interval_of_slides([0.5] * 4, RESAMPLING)) == [0.5, 0.5, 0.5]


def test_slides_without_a_figure_are_left_out():
    values = np.random.default_rng(6).random(10)
    with_gaps = np.insert(values, [0, 5], np.nan)
    assert interval_of_slides(with_gaps, RESAMPLING) == interval_of_slides(values, RESAMPLING)


def test_another_statistic_than_the_mean_may_be_asked_for():
    found = interval_of_slides([1, 2, 9], RESAMPLING, lambda drawn: np.median(drawn, axis=1))
    assert bounds(found) == [2, 1, 9]


def test_an_infinite_distance_stays_infinite():
    assert bounds(interval_of_slides([1.0, 1.0, np.inf], RESAMPLING)) == [np.inf, 1, np.inf]


@pytest.mark.parametrize(
    ("values", "value"),
    [([], np.nan), ([np.nan, np.nan], np.nan), ([0.7], 0.7), ([0.7, np.nan], 0.7)],
)
def test_fewer_than_two_slides_have_no_interval(values, value):
    expected = [value, np.nan, np.nan]
    assert bounds(interval_of_slides(values, RESAMPLING)) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("slide_count", [0, 1])
def test_fewer_than_two_slides_have_no_pooled_interval(slide_count):
    slides = np.full((slide_count, 2, 2), 3)
    for interval in intervals_of_pooled(slides, RESAMPLING, dice_of):
        expected = [0.5 if slide_count else np.nan, np.nan, np.nan]
        assert bounds(interval) == pytest.approx(expected, nan_ok=True)


def test_a_class_that_no_slide_has_has_no_interval():
    slides = np.array([[[3, 0], [0, 0]], [[2, 0], [0, 0]]])
    background, absent = intervals_of_pooled(slides, RESAMPLING, dice_of)
    assert bounds(background) == [1, 1, 1]
    assert np.isnan(bounds(absent)).all()


def test_a_class_that_some_draws_lack_is_judged_on_the_others():
    slides = np.array([[[3, 0], [0, 0]], [[2, 0], [1, 1]]])
    _, rare = intervals_of_pooled(slides, RESAMPLING, dice_of)
    assert bounds(rare) == pytest.approx([2 / 3] * 3)


def test_objects_of_slides_are_pooled_as_well():
    slides = [InstanceSums(4, 4, 2, 1.5), InstanceSums(6, 2, 1, 0.9)]
    (found,) = intervals_of_pooled(
        [slide.row for slide in slides],
        RESAMPLING,
        lambda row: InstanceSums.of_row(row).panoptic_quality,
    )
    alone = [slide.panoptic_quality for slide in slides]
    assert bounds(found) == pytest.approx(
        [(slides[0] + slides[1]).panoptic_quality, min(alone), max(alone)]
    )
