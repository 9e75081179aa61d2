"""Distances as counts give the same figures as one by one, and those of slides add up."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeplab.evaluation.boundary import BorderDistances
from deeplab.evaluation.distance_tally import (
    BorderTally,
    DistanceTally,
    border_figures,
    percentile_of,
)
from deeplab.geometry.frames import Mpp

masks = arrays(np.bool_, (7, 8))
distances = st.lists(st.sampled_from([0.0, 0.5, 0.7, 2.0, 11.25]), min_size=1, max_size=30)


def tally(found):
    return BorderTally(
        DistanceTally.of(found.from_truth_um), DistanceTally.of(found.from_prediction_um)
    )


@given(masks, masks, st.sampled_from([0.0, 0.5, 1.2]))
def test_the_figures_are_those_of_the_distances_one_by_one(truth, prediction, tolerance_um):
    found = BorderDistances.between(truth, prediction, Mpp(0.5, 0.5))
    counted = tally(found)
    precision, recall, f1 = border_figures(counted.row(tolerance_um))
    assert precision == pytest.approx(found.precision(tolerance_um), nan_ok=True)
    assert recall == pytest.approx(found.recall(tolerance_um), nan_ok=True)
    assert f1 == pytest.approx(found.f1(tolerance_um), nan_ok=True)
    assert counted.hausdorff_um() == pytest.approx(found.hausdorff_um(), nan_ok=True)
    assert counted.hausdorff_um(100) == pytest.approx(found.hausdorff_um(100), nan_ok=True)
    assert counted.mean_um == pytest.approx(found.mean_um, nan_ok=True)


@given(distances, distances, st.floats(0, 100))
def test_a_sum_is_the_tally_of_all(first, second, percent):
    both = DistanceTally.of(np.array(first)) + DistanceTally.of(np.array(second))
    whole = np.array(first + second)
    assert both.total == len(whole)
    assert both.sum_um == pytest.approx(whole.sum())
    assert both.percentile(percent) == pytest.approx(np.percentile(whole, percent))


def test_what_a_slide_misses_as_a_whole_is_infinitely_far_in_the_sum():
    near = BorderTally(*[DistanceTally.of(np.zeros(96))] * 2)
    missed = BorderTally(DistanceTally.of(np.full(4, np.inf)), DistanceTally.nothing())
    assert missed.hausdorff_um() == math.inf
    assert (near + missed).hausdorff_um() == 0  # four of a hundred
    assert (near + missed + missed).hausdorff_um() == math.inf
    assert (near + missed).mean_um == math.inf
    assert math.isnan(BorderTally.nothing().hausdorff_um())
    assert np.isnan(border_figures(BorderTally.nothing().row(1.0))).all()


def test_between_a_number_and_infinity_there_is_nothing():
    assert percentile_of(np.array([1.0, np.inf]), np.array([1.0, 1.0]), 50) == math.inf
    assert percentile_of(np.array([1.0, np.inf]), np.array([3.0, 1.0]), 50) == 1
    assert math.isnan(percentile_of(np.empty(0), np.empty(0), 50))
