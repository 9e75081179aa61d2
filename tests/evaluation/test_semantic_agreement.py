"""MCC, FwIoU and the other figures of pixels are those of scikit-learn, at any number of pixels."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from deeplab.evaluation.semantic import Confusion

LABELS = range(4)
maps = arrays(np.uint8, (5, 6), elements=st.integers(0, 3))
tables = arrays(np.int64, (3, 3), elements=st.integers(0, 50))


def confusion_of(truth, prediction):
    confusion = Confusion(len(LABELS))
    confusion.add(truth, prediction)
    return confusion


@given(maps, maps)
def test_the_figures_of_a_class_are_those_of_scikit_learn(truth, prediction):
    confusion, sides = confusion_of(truth, prediction), (truth.ravel(), prediction.ravel())
    precision, recall, dice, _ = metrics.precision_recall_fscore_support(
        *sides, labels=LABELS, zero_division=np.nan
    )
    iou = metrics.jaccard_score(*sides, labels=LABELS, average=None, zero_division=0)
    iou[~np.isin(LABELS, sides)] = np.nan
    assert confusion.precision == pytest.approx(precision, nan_ok=True)
    assert confusion.recall == pytest.approx(recall, nan_ok=True)
    assert confusion.dice == pytest.approx(dice, nan_ok=True)
    assert confusion.iou == pytest.approx(iou, nan_ok=True)


@given(maps, maps)
def test_mcc_is_that_of_scikit_learn_where_both_sides_vary_or_differ(truth, prediction):
    confusion = confusion_of(truth, prediction)
    for label in LABELS:
        a, b = truth == label, prediction == label
        if (a == b).all() and a.all() == a.any():
            assert np.isnan(confusion.mcc[label])
            continue
        theirs = metrics.matthews_corrcoef(a.ravel(), b.ravel())
        assert confusion.mcc[label] == pytest.approx(theirs, abs=1e-12)


@given(maps, maps)
def test_the_mcc_of_all_labels_is_that_of_scikit_learn(truth, prediction):
    assume((truth != prediction).any() or np.unique(truth).size > 1)
    theirs = metrics.matthews_corrcoef(truth.ravel(), prediction.ravel())
    ours = confusion_of(truth, prediction).multiclass_mcc
    assert ours == pytest.approx(theirs, abs=1e-12)


@given(maps, maps)
def test_fwiou_weighs_scikit_learns_iou_by_the_true_pixels(truth, prediction):
    theirs = metrics.jaccard_score(truth.ravel(), prediction.ravel(), average="weighted")
    ours = confusion_of(truth, prediction).frequency_weighted_iou
    assert ours == pytest.approx(theirs)


@given(maps, maps)
def test_correlation_is_the_same_with_truth_and_prediction_exchanged(truth, prediction):
    one, other = confusion_of(truth, prediction), confusion_of(prediction, truth)
    assert np.array_equal(one.mcc, other.mcc, equal_nan=True)
    assert np.array_equal(one.multiclass_mcc, other.multiclass_mcc, equal_nan=True)


@given(tables, st.permutations(range(3)))
def test_labels_in_another_order_have_the_same_figures(counts, order):
    one, other = Confusion.of(counts), Confusion.of(counts[np.ix_(order, order)])
    assert np.array_equal(one.mcc[list(order)], other.mcc, equal_nan=True)
    assert np.array_equal(one.multiclass_mcc, other.multiclass_mcc, equal_nan=True)
    ours, theirs = one.frequency_weighted_iou, other.frequency_weighted_iou
    assert ours == pytest.approx(theirs, nan_ok=True)


@given(tables)
def test_a_million_million_times_the_pixels_change_nothing(counts):
    few, many = Confusion.of(counts), Confusion.of(counts * 10**15)
    assert many.mcc == pytest.approx(few.mcc, nan_ok=True, rel=1e-12)
    assert many.multiclass_mcc == pytest.approx(few.multiclass_mcc, nan_ok=True, rel=1e-12)
    ours, theirs = many.frequency_weighted_iou, few.frequency_weighted_iou
    assert ours == pytest.approx(theirs, nan_ok=True)


@given(tables)
def test_a_correlation_never_leaves_its_range(counts):
    confusion = Confusion.of(counts * 7919**3)
    found = np.append(confusion.mcc, confusion.multiclass_mcc)
    assert (np.isnan(found) | (np.abs(found) <= 1)).all()


def test_full_agreement_is_one_and_exchange_minus_one():
    assert Confusion.of([[3, 0], [0, 10**17]]).mcc.tolist() == [1, 1]
    assert Confusion.of([[3, 0], [0, 10**17]]).multiclass_mcc == 1
    assert Confusion.of([[0, 3], [10**17, 0]]).mcc.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("counts", "mcc", "multiclass", "fwiou"),
    [
        ([[0, 0], [0, 0]], [np.nan, np.nan], np.nan, np.nan),  # no pixel
        ([[5, 0], [0, 0]], [np.nan, np.nan], np.nan, 1),  # background only, and found so
        ([[0, 0], [5, 0]], [0, 0], 0, 0),  # all is the class, none is predicted
        ([[4, 0], [5, 0]], [0, 0], 0, 4 / 9 * 4 / 9),  # the class is missed
        ([[4, 5], [0, 0]], [0, 0], 0, 4 / 9),  # the class is not there but predicted
    ],
)
def test_empty_classes_have_the_figures_of_the_page(counts, mcc, multiclass, fwiou):
    confusion = Confusion.of(counts)
    assert confusion.mcc == pytest.approx(mcc, nan_ok=True)
    assert confusion.multiclass_mcc == pytest.approx(multiclass, nan_ok=True)
    assert confusion.frequency_weighted_iou == pytest.approx(fwiou, nan_ok=True)
