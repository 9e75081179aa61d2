"""What a validation says of its slides and regions, against planted errors."""

import numpy as np
import pytest

from deeplab.evaluation.semantic import Confusion
from deeplab.training.validation.results import spread
from tests.training.validations_for_tests import SIDE, region, validation

PIXELS = SIDE**2


def test_the_worst_regions_are_those_with_the_most_planted_errors():
    planted = [0, 900, 30, 2000, 400, 0]
    found = validation([region(errors, at=(i * SIDE, 0)) for i, errors in enumerate(planted)])
    worst = found.worst(3)
    assert [piece.box.x // SIDE for piece in worst] == [3, 1, 4]
    assert worst[0].error_share == pytest.approx(2000 / PIXELS)
    assert worst[0].commonest_error == (1, 2)
    assert len(found.worst(99)) == 4, "a region without errors is not among the worst"


def test_a_region_of_which_little_was_judged_is_no_example():
    found = validation([region(100, ignored=PIXELS - 200), region(50, at=(SIDE, 0))])
    assert [piece.box.x for piece in found.worst(9)] == [SIDE]


def test_the_best_regions_have_a_class_and_few_errors_and_the_typical_ones_are_between():
    empty = region(0, truth_label=0, at=(9 * SIDE, 0))
    pieces = [region(i * 100, at=(i * SIDE, 0)) for i in range(5)]
    found = validation([empty, *pieces])
    assert [piece.box.x // SIDE for piece in found.best(2)] == [0, 1]
    assert [piece.box.x // SIDE for piece in found.typical(1)] == [2]


def test_ignored_pixels_are_in_no_figure():
    piece = region(10, ignored=96)
    assert piece.tally.pixels == PIXELS - 96
    assert piece.error_share == pytest.approx(10 / (PIXELS - 96))


def test_the_score_is_the_mean_iou_of_all_pixels_together():
    found = validation([region(1000), region(0, slide="b")])
    iou_1, iou_2 = (2 * PIXELS - 1000) / (2 * PIXELS), 0.0
    assert found.score == pytest.approx((iou_1 + iou_2) / 2)
    assert [slide.slide for slide in found.slides] == ["a", "b"]


def test_a_region_keeps_what_was_predicted():
    assert (region(7).prediction["labels"].ravel()[:8] == [2] * 7 + [1]).all()


def test_the_spread_over_slides_holds_the_pooled_figure_and_is_the_same_every_time():
    slides = [Confusion.of([[90, 10], [wrong, 100 - wrong]]) for wrong in (5, 20, 35, 50)]
    low, high = spread(slides, 0)
    assert (low, high) == spread(slides, 0)
    assert low < sum(slides, Confusion(2)).mean_iou < high
    assert low >= slides[3].mean_iou
    assert high <= slides[0].mean_iou


def test_two_slides_have_no_spread():
    assert spread([Confusion.of([[1, 0], [0, 1]])] * 2, 0) is None


def test_equal_slides_have_no_width_of_spread():
    same = Confusion.of([[9, 1], [2, 8]])
    assert spread([same] * 3, 0) == pytest.approx((same.mean_iou, same.mean_iou))
    assert np.isclose(same.mean_iou, (9 / 12 + 8 / 11) / 2)
