"""Figures of patches are those of their scores, and counts add up."""

import json

import numpy as np
import pytest

from deeplab.evaluation.patch_tally import PatchTally, thresholds_of
from deeplab.evaluation.tally import tally_from_json, tally_to_json


def drawn(seed: int, count: int = 2000):
    random = np.random.default_rng(seed)
    truth = random.random((count, 3)) < [0.1, 0.4, 0.6]
    logits = random.normal(-0.5 + 1.5 * truth, 1.5)
    return 1 / (1 + np.exp(-logits)), truth


def test_areas_under_curves_are_those_of_the_scores():
    scores, truth = drawn(0)
    tally = PatchTally.of_scores(scores, truth, exclusive=False)
    for label in range(3):
        have, rest = scores[truth[:, label], label], scores[~truth[:, label], label]
        assert tally.auroc[label] == pytest.approx(np.mean(have[:, None] > rest), abs=1e-3)
        order = np.argsort(-scores[:, label])
        hits = truth[order, label]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        assert tally.average_precision[label] == pytest.approx(precision[hits].mean(), abs=5e-3)


def test_the_threshold_is_the_one_of_the_best_f1():
    scores, truth = drawn(1)
    tally = PatchTally.of_scores(scores, truth, exclusive=False)

    def f1(label, limit):
        taken = scores[:, label] >= limit
        both = np.count_nonzero(taken & truth[:, label])
        return 2 * both / (taken.sum() + truth[:, label].sum())

    for label, limit in enumerate(tally.thresholds):
        assert tally.class_scores[label] == pytest.approx(f1(label, limit), abs=1e-9)
        assert (
            f1(label, limit) >= max(f1(label, each) for each in np.linspace(0.01, 0.99, 99)) - 2e-3
        )
    names = ["a", "b", "c"]
    assert thresholds_of(tally.figures(names), names) == pytest.approx(tally.thresholds)


def test_tallies_add_up_and_are_kept_as_json():
    scores, truth = drawn(2)
    whole = PatchTally.of_scores(scores, truth, exclusive=False)
    parts = [PatchTally.of_scores(scores[i::3], truth[i::3], exclusive=False) for i in range(3)]
    joined = PatchTally.empty(3) + parts[0] + parts[1] + parts[2]
    np.testing.assert_array_equal(joined.counts, whole.counts)
    again = tally_from_json(json.loads(json.dumps(tally_to_json(whole))))
    assert isinstance(again, PatchTally)
    assert again.score == whole.score
    with pytest.raises(ValueError, match="counts of patches"):
        PatchTally.of([[1, 2], [3, 4]])


def test_classes_that_exclude_each_other_are_told_by_the_highest_score():
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.4, 0.35, 0.25], [0.2, 0.7, 0.1]])
    truth = np.eye(3)[[0, 2, 1, 1]]
    tally = PatchTally.of_scores(scores, truth, exclusive=True)
    assert tally.confused[1:, 1:].tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert tally.error_share == 0.25
    assert tally.commonest_error == (2, 1)
    assert tally.class_scores == pytest.approx([2 / 3, 2 / 3, 1])
    assert tally.micro() == pytest.approx((0.75, 0.75, 0.75))
    assert "threshold a" not in tally.figures(["a", "b", "c"])


def test_scores_that_are_shares_are_calibrated_and_others_are_not():
    random = np.random.default_rng(3)
    scores = random.uniform(0.02, 0.98, (20000, 1))
    fair = PatchTally.of_scores(scores, random.random(scores.shape) < scores, exclusive=False)
    assert fair.calibration_error < 0.02
    sure = PatchTally.of_scores(scores**4, random.random(scores.shape) < scores, exclusive=False)
    assert sure.calibration_error > 0.2


def test_nothing_has_no_figures():
    nothing = PatchTally.empty(2)
    assert np.isnan(nothing.score)
    assert np.isnan(nothing.error_share)
    assert np.isnan(nothing.calibration_error)
    assert nothing.commonest_error is None
    assert nothing.thresholds.tolist() == [0.5, 0.5]
