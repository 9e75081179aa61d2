"""Objects counted part by part, against the same objects compared as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.evaluation.instances import Overlaps, compare_objects
from deeplab.evaluation.object_tally import Objects, ObjectTally, tally_objects
from deeplab.evaluation.tally import tally_from_json, tally_to_json

SIDE = 48
WHOLE = (slice(0, SIDE), slice(0, SIDE))
NOWHERE = np.zeros((SIDE, SIDE), bool)


def discs(random, count, class_count=2):
    """Round objects, the later over the earlier, some of no known type."""
    instances, labels = np.zeros((SIDE, SIDE), np.int32), np.zeros((SIDE, SIDE), np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(1, count + 1):
        y, x, radius = (*random.uniform(0, SIDE, 2), random.uniform(2, 6))
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        instances[inside] = 3 * number
        labels[inside] = random.choice([*range(1, class_count + 1), 255])
    return Objects.of_rasters(instances, labels, class_count)


def shaken(truth, random):
    """The same objects moved a little, some left out and some mistyped."""
    moved = np.roll(truth.instances, tuple(random.integers(-2, 3, 2)), (0, 1))
    labels = np.concatenate([[0], random.integers(1, 3, len(truth.labels))]).astype(np.uint8)
    moved[np.isin(moved, random.integers(1, len(truth.labels) + 1, 2))] = 0
    return Objects.of_rasters(moved, labels[moved], 2)


def tally(truth, prediction, parts=(WHOLE,), class_count=2, unjudged=NOWHERE):
    return tally_objects(
        truth, prediction, class_count=class_count, unjudged=unjudged, parts=list(parts)
    )


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_the_sums_of_one_part_are_those_of_a_comparison_of_all_objects(seed, count):
    random = np.random.default_rng(seed)
    truth = discs(random, count)
    prediction = shaken(truth, random)
    (found,) = tally(truth, prediction)
    expected = compare_objects(Overlaps.of_maps(truth.instances, prediction.instances))
    for name in ("true_objects", "predicted_objects", "matched"):
        assert getattr(found.sums[0], name) == getattr(expected, name)
    for name in ("panoptic_quality", "segmentation_quality", "aji_plus"):
        np.testing.assert_allclose(getattr(found.sums[0], name), getattr(expected, name))
    for label in (1, 2):
        own = truth.kept(truth.labels == label)
        assert found.sums[label].true_objects == len(own.labels) == found.class_amounts[label - 1]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, SIDE - 1), st.integers(1, SIDE))
def test_parts_add_up_to_the_whole_and_cut_no_object(seed, count, row, column):
    random = np.random.default_rng(seed)
    truth = discs(random, count)
    prediction = shaken(truth, random)
    parts = [
        (down, across)
        for down in (slice(0, row), slice(row, SIDE))
        for across in (slice(0, column), slice(column, SIDE))
    ]
    (whole,) = tally(truth, prediction)
    pieces = tally(truth, prediction, parts)
    together = sum(pieces, ObjectTally.empty(2))
    np.testing.assert_allclose(together.counts, whole.counts, atol=1e-9)
    assert all((piece.counts >= 0).all() for piece in pieces)


def boxes(*placed, class_count=2):
    """Objects that are (row, column, side, label)."""
    instances, labels = np.zeros((SIDE, SIDE), np.int32), np.zeros((SIDE, SIDE), np.uint8)
    for number, (row, column, side, label) in enumerate(placed, start=1):
        instances[row : row + side, column : column + side] = number
        labels[row : row + side, column : column + side] = label
    return Objects.of_rasters(instances, labels, class_count)


def test_types_are_matched_among_themselves_and_mistakes_are_told():
    truth = boxes((0, 0, 8, 1), (0, 10, 8, 1), (0, 20, 8, 2), (0, 30, 8, 2))
    prediction = boxes((0, 0, 8, 1), (0, 10, 8, 2), (0, 20, 8, 2), (20, 30, 8, 1))
    (found,) = tally(truth, prediction)
    assert found.sums[0].panoptic_quality == pytest.approx(3 / 4)
    # Type 1: one right, one of another type, one where nothing is; type 2: one right of two each.
    np.testing.assert_allclose(found.class_scores, [1 / 2, 1 / 2])
    assert found.score == pytest.approx(0.5)
    assert found.error_share == pytest.approx(0.5)
    assert found.confused.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 1]]
    assert found.commonest_error in {(0, 1), (1, 2), (2, 0)}
    assert found.figures(["a", "b"]).keys() == {"pq", "dq", "sq", "aji_plus", "pq a", "pq b"}


def test_an_object_of_unknown_type_is_right_whatever_type_is_predicted():
    truth = boxes((0, 0, 8, 1), (0, 10, 8, 255))
    prediction = boxes((0, 0, 8, 1), (0, 10, 8, 2))
    (found,) = tally(truth, prediction)
    assert found.sums[0].panoptic_quality == 1
    assert found.sums[1].panoptic_quality == 1
    assert np.isnan(found.class_scores[1]), "no object is known to be of type 2"
    assert found.score == 1
    assert found.commonest_error is None


def test_with_one_class_types_are_no_question():
    truth = boxes((0, 0, 8, 255), (0, 10, 8, 1), class_count=1)
    untyped = Objects(truth.instances, np.zeros(2, np.uint8))
    (found,) = tally(truth, untyped, class_count=1)
    assert found.score == 1
    np.testing.assert_array_equal(found.class_scores, [1])


def test_what_is_found_where_nobody_judged_does_not_count():
    unjudged = NOWHERE.copy()
    unjudged[20:] = True
    (found,) = tally(boxes((0, 0, 8, 1)), boxes((0, 0, 8, 1), (30, 0, 8, 1)), unjudged=unjudged)
    assert found.score == 1
    (found,) = tally(boxes((0, 0, 8, 1)), boxes((0, 0, 8, 1), (10, 20, 8, 1)), unjudged=unjudged)
    assert found.score == pytest.approx(1 / 1.5)


def test_where_nothing_is_and_nothing_is_found_there_is_no_score():
    (found,) = tally(boxes(), boxes())
    assert np.isnan(found.score)
    assert found.commonest_error is None
    (found,) = tally(boxes(), boxes((0, 0, 8, 1)))
    assert found.score == 0
    assert found.commonest_error == (0, 1)


def test_a_tally_reads_back_from_json():
    random = np.random.default_rng(0)
    truth = discs(random, 9)
    (found,) = tally(truth, shaken(truth, random))
    again = tally_from_json(tally_to_json(found))
    assert isinstance(again, ObjectTally)
    np.testing.assert_array_equal(again.counts, found.counts)


@pytest.mark.parametrize(
    "counts", [[], [[1]], [[0] * 8, [0] * 7], [[-1] * 8] * 2, [[float("nan")] * 8] * 2, [["a"] * 8]]
)
def test_other_counts_are_refused(counts):
    with pytest.raises(ValueError, match="counts of objects|inhomogeneous|could not convert"):
        ObjectTally.of(counts)
