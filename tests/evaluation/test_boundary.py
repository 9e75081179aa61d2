"""Distances between outlines are in um, the same from both sides, and those of scikit-image."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.distance import cdist, directed_hausdorff
from skimage.metrics import hausdorff_distance

from deeplab.evaluation.boundary import BorderDistances, border_um
from deeplab.geometry.frames import Mpp

UNIT = Mpp(1, 1)
masks = arrays(np.bool_, (9, 8))
scales = st.builds(Mpp, st.sampled_from([0.25, 0.5, 1.3]), st.sampled_from([0.25, 1.0, 2.7]))


def border_by_erosion(mask):
    return mask & ~ndimage.binary_erosion(mask)


def middles_um(border, mpp):
    y, x = np.nonzero(border)
    return np.column_stack([(x + 0.5) * mpp.x, (y + 0.5) * mpp.y])


def square(left, top, side, shape=(40, 50)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@given(masks, scales)
def test_the_border_is_what_an_erosion_takes_away(mask, mpp):
    assert np.allclose(border_um(mask, mpp), middles_um(border_by_erosion(mask), mpp))


@given(masks, masks, scales)
def test_all_figures_are_those_of_every_distance_to_every_border_pixel(a, b, mpp):
    assume(a.any() and b.any())
    pairs = cdist(*(middles_um(border_by_erosion(mask), mpp) for mask in (a, b)))
    from_a, from_b = pairs.min(axis=1), pairs.min(axis=0)
    found = BorderDistances.between(a, b, mpp)
    expected = max(np.percentile(from_a, 95), np.percentile(from_b, 95))
    assert found.hausdorff_um() == pytest.approx(expected)
    assert found.mean_um == pytest.approx(np.concatenate([from_a, from_b]).mean())
    recall, precision = (from_a <= 1.05).mean(), (from_b <= 1.05).mean()
    assert (found.recall(1.05), found.precision(1.05)) == (recall, precision)
    expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert found.f1(1.05) == pytest.approx(expected)


@given(masks, masks)
def test_the_hundredth_percentile_is_the_hausdorff_distance_of_scikit_image(a, b):
    assume(a.any() and b.any())
    ours = BorderDistances.between(a, b, UNIT).hausdorff_um(100)
    assert ours == pytest.approx(hausdorff_distance(border_by_erosion(a), border_by_erosion(b)))


@given(masks, masks, scales)
def test_the_hundredth_percentile_is_the_hausdorff_distance_of_scipy_in_um(a, b, mpp):
    assume(a.any() and b.any())
    points = [middles_um(border_by_erosion(mask), mpp) for mask in (a, b)]
    theirs = max(directed_hausdorff(*points)[0], directed_hausdorff(*reversed(points))[0])
    assert BorderDistances.between(a, b, mpp).hausdorff_um(100) == pytest.approx(theirs)


@given(masks, masks, scales)
def test_truth_and_prediction_may_be_exchanged(a, b, mpp):
    one, other = BorderDistances.between(a, b, mpp), BorderDistances.between(b, a, mpp)
    for figure in (lambda d: d.f1(1), lambda d: d.hausdorff_um(), lambda d: d.mean_um):
        assert figure(one) == pytest.approx(figure(other), nan_ok=True)


@given(masks, scales)
def test_a_mask_agrees_with_itself(mask, mpp):
    assume(mask.any())
    found = BorderDistances.between(mask, mask, mpp)
    assert (found.f1(0), found.hausdorff_um(), found.mean_um) == (1, 0, 0)


@pytest.mark.parametrize(("right", "down", "expected_um"), [(4, 0, 1.0), (0, 4, 8.0)])
def test_a_shift_is_measured_along_its_own_axis(right, down, expected_um):
    mpp = Mpp(0.25, 2.0)
    truth, moved = square(10, 10, 1), square(10 + right, 10 + down, 1)
    found = BorderDistances.between(truth, moved, mpp)
    assert found.hausdorff_um() == found.mean_um == expected_um
    assert (found.f1(expected_um), found.f1(expected_um * 0.99)) == (1, 0)


def test_one_far_pixel_in_many_moves_the_maximum_and_not_the_95_percent():
    truth = square(5, 5, 20)
    prediction = truth | square(49, 39, 1)
    found = BorderDistances.between(truth, prediction, UNIT)
    assert found.hausdorff_um() == 0
    assert found.hausdorff_um(100) == pytest.approx(np.hypot(25, 15))


def test_a_tolerance_of_whole_pixels_takes_the_pixel_that_far():
    mpp = Mpp.square(0.1)
    found = BorderDistances.between(square(4, 4, 1), square(7, 4, 1), mpp)
    assert found.f1(3 * 0.1) == found.f1(0.3) == 1


def test_a_mask_that_fills_its_map_has_the_maps_edge_as_border():
    assert len(border_um(np.ones((5, 4), bool), UNIT)) == 14


@pytest.mark.parametrize("emptied", ["truth", "prediction"])
def test_one_empty_mask_is_a_whole_miss(emptied):
    masks = {"truth": square(3, 3, 5), "prediction": square(3, 3, 5)}
    masks[emptied] = np.zeros_like(masks[emptied])
    found = BorderDistances.between(**masks, mpp=UNIT)
    assert (found.f1(1e9), found.hausdorff_um(), found.mean_um) == (0, np.inf, np.inf)
    there, missing = found.recall(1e9), found.precision(1e9)
    if emptied == "truth":
        there, missing = missing, there
    assert there == 0
    assert np.isnan(missing)


@pytest.mark.parametrize("shape", [(0, 0), (4, 5)])
def test_two_empty_masks_have_no_figure(shape):
    found = BorderDistances.between(np.zeros(shape, bool), np.zeros(shape, bool), UNIT)
    figures = [
        found.f1(1),
        found.precision(1),
        found.recall(1),
        found.hausdorff_um(),
        found.mean_um,
    ]
    assert np.isnan(figures).all()


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        BorderDistances.between(np.zeros((2, 3), bool), np.zeros((3, 2), bool), UNIT)
