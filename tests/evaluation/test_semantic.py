"""Dice and IoU from one confusion matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeplab.evaluation.semantic import Confusion

maps = arrays(np.uint8, (6, 7), elements=st.integers(0, 2))


@given(maps, maps)
def test_dice_and_iou_are_those_of_their_definitions(truth, prediction):
    confusion = Confusion(3)
    confusion.add(truth, prediction)
    for label in range(3):
        a, b = truth == label, prediction == label
        if not (a | b).any():
            assert np.isnan(confusion.dice[label])
            assert np.isnan(confusion.iou[label])
            continue
        assert confusion.dice[label] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert confusion.iou[label] == pytest.approx((a & b).sum() / (a | b).sum())


@given(maps, maps)
def test_precision_recall_and_accuracy_are_those_of_their_definitions(truth, prediction):
    confusion = Confusion(3)
    confusion.add(truth, prediction)
    assert confusion.accuracy == pytest.approx((truth == prediction).mean())
    for label in range(3):
        right = ((truth == label) & (prediction == label)).sum()
        for share, whole in (
            (confusion.precision[label], (prediction == label).sum()),
            (confusion.recall[label], (truth == label).sum()),
        ):
            assert np.isnan(share) if whole == 0 else share == pytest.approx(right / whole)


@given(maps, maps)
def test_a_confusion_of_known_counts_is_the_one_that_was_counted(truth, prediction):
    confusion = Confusion(3)
    confusion.add(truth, prediction)
    again = Confusion.of(confusion.counts.tolist())
    assert (again.counts == confusion.counts).all()
    assert ((again + confusion).counts == 2 * confusion.counts).all()
    assert again.pixels == truth.size


@pytest.mark.parametrize("counts", [[[1, 2]], [1, 2], [[1, -1], [0, 0]]])
def test_counts_that_are_no_square_are_refused(counts):
    with pytest.raises(ValueError, match="not a square"):
        Confusion.of(counts)


def test_ignored_pixels_do_not_count():
    confusion = Confusion(2)
    confusion.add(np.array([[1, 255]], np.uint8), np.array([[1, 0]], np.uint8))
    assert confusion.counts.tolist() == [[0, 0], [0, 1]]
    assert confusion.mean_iou == 1


def test_maps_add_up():
    one, two = Confusion(2), Confusion(2)
    a, b = np.array([[0, 1]], np.uint8), np.array([[1, 1]], np.uint8)
    one.add(a, b)
    one.add(b, a)
    two.add(np.vstack([a, b]), np.vstack([b, a]))
    assert (one.counts == two.counts).all()


def test_nothing_at_all_has_no_mean():
    assert np.isnan(Confusion(2).mean_iou)
    assert np.isnan(Confusion(2).accuracy)


def test_maps_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        Confusion(2).add(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_a_label_out_of_range_is_refused():
    with pytest.raises(ValueError, match="above 1"):
        Confusion(2).add(np.zeros((1, 1), np.uint8), np.full((1, 1), 2, np.uint8))
