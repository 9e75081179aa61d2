"""PQ, AJI, AJI+, object Dice and F_d against slow ones written from their definitions."""

import itertools
import math

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeplab.evaluation.instances import (
    Detection,
    InstanceSums,
    Overlaps,
    centroids_um,
    compare_centroids,
    compare_objects,
)
from deeplab.geometry.frames import Mpp

maps = arrays(np.int32, (4, 6), elements=st.integers(0, 4))
points = arrays(np.float64, st.tuples(st.integers(0, 4), st.just(2)), elements=st.integers(0, 6))
EMPTY = np.zeros((4, 6), np.int32)
ONE = np.ones((4, 6), np.int32)


def compare(truth, prediction, min_iou=0.5):
    return compare_objects(Overlaps.of_maps(truth, prediction), min_iou)


def objects_of(labels):
    """Each object as a set of its pixels, in the order of their numbers."""
    return [
        {tuple(at) for at in np.argwhere(labels == number)}
        for number in range(1, labels.max() + 1)
        if (labels == number).any()
    ]


def iou_of(a, b):
    return len(a & b) / len(a | b)


def one_to_one(first, second):
    """Every way to pair two lists, as many as the shorter one has."""
    if len(first) <= len(second):
        for chosen in itertools.permutations(range(len(second)), len(first)):
            yield list(enumerate(chosen))
    else:
        for pairs in one_to_one(second, first):
            yield [(i, j) for j, i in pairs]


def slow_pq(true, predicted):
    found = [iou_of(a, b) for a in true for b in predicted if iou_of(a, b) > 0.5]
    missed, false = len(true) - len(found), len(predicted) - len(found)
    if not true and not predicted:
        return math.nan, math.nan, math.nan
    detection = len(found) / (len(found) + missed / 2 + false / 2)
    segmentation = sum(found) / len(found) if found else math.nan
    return detection, segmentation, detection * segmentation if found else 0


def slow_aji(true, predicted):
    shared, union, used = 0, 0, set()
    for a in true:
        merits = [iou_of(a, b) for b in predicted]
        if not merits or max(merits) == 0:
            union += len(a)
            continue
        best = merits.index(max(merits))
        shared += len(a & predicted[best])
        union += len(a | predicted[best])
        used.add(best)
    union += sum(len(b) for at, b in enumerate(predicted) if at not in used)
    return shared / union if union else math.nan


def slow_aji_plus(true, predicted):
    """What AJI+ may be: one figure for each pairing of the largest IoU in total."""
    figures = []
    for pairs in one_to_one(true, predicted):
        pairs = [(i, j) for i, j in pairs if true[i] & predicted[j]]
        shared = sum(len(true[i] & predicted[j]) for i, j in pairs)
        union = sum(map(len, true)) + sum(map(len, predicted)) - shared
        total = sum(iou_of(true[i], predicted[j]) for i, j in pairs)
        figures.append((total, shared / union if union else math.nan))
    most = max(total for total, _ in figures)
    return [figure for total, figure in figures if total > most - 1e-9]


def slow_object_dice(true, predicted):
    if not true or not predicted:
        return 0 if true or predicted else math.nan

    def one_side(objects, others):
        weighed = 0
        for a in objects:
            best = max(others, key=lambda b: (len(a & b), iou_of(a, b)))
            weighed += len(a) * 2 * len(a & best) / (len(a) + len(best))
        return weighed / sum(map(len, objects))

    return (one_side(true, predicted) + one_side(predicted, true)) / 2


@given(maps, maps)
def test_pq_is_that_of_its_definition(truth, prediction):
    found = compare(truth, prediction)
    ours = (found.detection_quality, found.segmentation_quality, found.panoptic_quality)
    theirs = slow_pq(objects_of(truth), objects_of(prediction))
    assert ours == pytest.approx(theirs, nan_ok=True)


@given(maps, maps)
def test_aji_is_that_of_its_definition(truth, prediction):
    theirs = slow_aji(objects_of(truth), objects_of(prediction))
    assert compare(truth, prediction).aji == pytest.approx(theirs, nan_ok=True)


@given(maps, maps)
def test_aji_plus_is_that_of_a_best_pairing_of_all(truth, prediction):
    ours = compare(truth, prediction).aji_plus
    theirs = slow_aji_plus(objects_of(truth), objects_of(prediction))
    assert any(ours == pytest.approx(each, nan_ok=True) for each in theirs)


@given(maps, maps)
def test_object_dice_is_that_of_its_definition(truth, prediction):
    theirs = slow_object_dice(objects_of(truth), objects_of(prediction))
    assert compare(truth, prediction).object_dice == pytest.approx(theirs, nan_ok=True)


@given(maps, maps, st.sampled_from([0.0, 0.1, 0.3]))
def test_a_lower_threshold_takes_the_pairs_of_the_largest_iou_in_total(truth, prediction, min_iou):
    true, predicted = objects_of(truth), objects_of(prediction)
    most = max(
        sum(iou for i, j in pairs if (iou := iou_of(true[i], predicted[j])) > min_iou)
        for pairs in one_to_one(true, predicted)
    )
    overlaps = Overlaps.of_maps(truth, prediction)
    pairs = overlaps.match(min_iou)
    assert overlaps.iou[pairs].sum() == pytest.approx(most)
    assert (overlaps.iou[pairs] > min_iou).all()
    for side in (overlaps.true_of_pair, overlaps.predicted_of_pair):
        assert len(set(side[pairs])) == len(pairs)


@given(maps, maps)
def test_truth_and_prediction_may_be_exchanged(truth, prediction):
    one, other = compare(truth, prediction), compare(prediction, truth)
    assert (one.precision, one.recall) == pytest.approx(
        (other.recall, other.precision), nan_ok=True
    )
    for name in ("f1", "segmentation_quality", "panoptic_quality", "object_dice"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)


@given(maps, maps, st.permutations([5, 7, 2**31 - 1, 11]), st.permutations([3, 70000, 2, 1]))
def test_other_numbers_for_the_same_objects_change_nothing(truth, prediction, new_true, new_pred):
    renamed = [
        np.array([0, *new], np.int32)[labels]
        for new, labels in ((new_true, truth), (new_pred, prediction))
    ]
    one, other = compare(truth, prediction), compare(*renamed)
    for name in ("precision", "recall", "segmentation_quality", "panoptic_quality", "object_dice"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)


@given(maps, st.permutations(range(1, 5)))
def test_a_map_agrees_with_itself_whatever_its_numbers(truth, order):
    prediction = np.array([0, *order], np.int32)[truth]
    found = compare(truth, prediction)
    expected = 1 if truth.any() else np.nan
    for name in (
        "f1",
        "segmentation_quality",
        "panoptic_quality",
        "aji",
        "aji_plus",
        "object_dice",
    ):
        assert getattr(found, name) == pytest.approx(expected, nan_ok=True)


@given(maps, maps)
def test_polygons_have_the_overlaps_of_the_map_that_they_outline(truth, prediction):
    sides = [
        [
            shapely.union_all([shapely.box(x, y, x + 1, y + 1) for y, x in pixels])
            for pixels in objects_of(labels)
        ]
        for labels in (truth, prediction)
    ]
    drawn, outlined = Overlaps.of_maps(truth, prediction), Overlaps.of_polygons(*sides)
    assert np.array_equal(drawn.true_areas, outlined.true_areas)
    assert np.array_equal(drawn.predicted_areas, outlined.predicted_areas)
    pairs = [
        sorted(zip(each.true_of_pair, each.predicted_of_pair, each.shared_areas, strict=True))
        for each in (drawn, outlined)
    ]
    assert pairs[0] == pairs[1]


def test_polygons_that_lie_on_each_other_are_matched_once():
    stacked = [shapely.box(0, 0, 10, 10), shapely.box(0, 0, 10, 9)]
    found = compare_objects(Overlaps.of_polygons(stacked, stacked[1:]))
    assert (found.true_objects, found.predicted_objects, found.matched) == (2, 1, 1)
    assert found.segmentation_quality == 1


def test_a_prediction_may_serve_twice_in_aji_and_once_in_aji_plus():
    truth, prediction = EMPTY.copy(), EMPTY.copy()
    truth[0, :2], truth[0, 2:5] = 1, 2
    prediction[0, :5] = 9
    found = compare(truth, prediction)
    assert found.aji == pytest.approx((2 + 3) / (5 + 5))
    assert found.aji_plus == pytest.approx(3 / (5 + 2))


def test_an_iou_of_exactly_one_half_is_no_match():
    truth, prediction = EMPTY.copy(), EMPTY.copy()
    truth[0, :2], prediction[0, :4] = 1, 1
    assert compare(truth, prediction).matched == 0
    assert compare(truth, prediction, min_iou=0.49).matched == 1


@given(st.lists(st.tuples(maps, maps), max_size=3))
def test_slides_that_are_added_up_are_one_slide_of_them_all(slides):
    pooled = sum((compare(*slide) for slide in slides), InstanceSums())
    # Side by side, with numbers that no two slides have in common.
    side_by_side = [
        np.hstack(
            [
                EMPTY,
                *(
                    np.where(slide[side], slide[side] + 10 * at, 0)
                    for at, slide in enumerate(slides)
                ),
            ]
        )
        for side in (0, 1)
    ]
    whole = compare(*side_by_side)
    for name in (
        "precision",
        "recall",
        "segmentation_quality",
        "panoptic_quality",
        "aji",
        "object_dice",
    ):
        assert getattr(pooled, name) == pytest.approx(getattr(whole, name), nan_ok=True)


NAMES = (
    "precision",
    "recall",
    "f1",
    "detection_quality",
    "segmentation_quality",
    "panoptic_quality",
    "aji",
    "aji_plus",
    "object_dice",
)
NAN = math.nan


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (EMPTY, EMPTY, [NAN] * 9),
        (EMPTY, ONE, [0, NAN, 0, 0, NAN, 0, 0, 0, 0]),
        (ONE, EMPTY, [NAN, 0, 0, 0, NAN, 0, 0, 0, 0]),
        (ONE[:0], ONE[:0], [NAN] * 9),
    ],
)
def test_empty_maps_have_the_figures_of_the_page(truth, prediction, expected):
    found = compare(truth, prediction)
    assert [getattr(found, name) for name in NAMES] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("true", "predicted"), [(0, 0), (0, 1), (1, 0)])
def test_no_polygons_are_as_no_objects(true, predicted):
    box = shapely.box(0, 0, 2, 2)
    found = compare_objects(Overlaps.of_polygons([box] * true, [box] * predicted))
    assert (found.true_objects, found.predicted_objects, found.matched) == (true, predicted, 0)
    assert found.panoptic_quality == pytest.approx(0 if true or predicted else NAN, nan_ok=True)


def test_objects_that_never_meet_are_all_missed():
    truth, prediction = EMPTY.copy(), EMPTY.copy()
    truth[0], prediction[2] = 1, 1
    found = compare(truth, prediction)
    expected = [0, 0, 0, 0, NAN, 0, 0, 0, 0]
    assert [getattr(found, name) for name in NAMES] == pytest.approx(expected, nan_ok=True)


@given(points, points, st.sampled_from([1.0, 2.0, 3.5]))
def test_centroids_are_paired_as_often_as_can_be(true, predicted, radius_um):
    most = max(
        sum(math.dist(true[i], predicted[j]) <= radius_um for i, j in pairs)
        for pairs in one_to_one(true, predicted)
    )
    found = compare_centroids(true, predicted, radius_um)
    assert found == Detection(len(true), len(predicted), most)
    assert compare_centroids(predicted, true, radius_um).matched == most


@given(maps, st.builds(Mpp, st.sampled_from([0.25, 1.5]), st.sampled_from([0.5, 2.0])))
def test_centroids_are_the_means_of_pixel_middles_in_um(labels, mpp):
    expected = [
        [
            (np.mean([x for _, x in pixels]) + 0.5) * mpp.x,
            (np.mean([y for y, _ in pixels]) + 0.5) * mpp.y,
        ]
        for pixels in objects_of(labels)
    ]
    assert centroids_um(labels, mpp) == pytest.approx(np.array(expected).reshape(-1, 2))


def test_the_radius_is_measured_in_um_along_each_axis():
    truth, prediction = EMPTY.copy(), EMPTY.copy()
    truth[0, 0], prediction[3, 0] = 1, 1
    mpp = Mpp(5, 0.5)
    sides = [centroids_um(labels, mpp) for labels in (truth, prediction)]
    assert compare_centroids(*sides, radius_um=1.5).f1 == 1
    assert compare_centroids(*sides, radius_um=1.4).f1 == 0


def test_maps_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="different shapes"):
        Overlaps.of_maps(EMPTY, EMPTY[:2])
    with pytest.raises(ValueError, match="below 0"):
        Overlaps.of_maps(EMPTY, -ONE)


def crowded(object_count, shift):
    """Squares of 6 by 6 pixels, 8 apart, moved by `shift`."""
    side = math.isqrt(object_count)
    labels = np.zeros((side * 8 + 8, side * 8 + 8), np.int32)
    for at in range(side * side):
        y, x = at // side * 8 + shift, at % side * 8 + shift
        labels[y : y + 6, x : x + 6] = at + 1
    return labels


def test_ten_thousand_objects_are_compared_at_once():
    found = compare(crowded(10_000, 0), crowded(10_000, 1))
    assert found.true_objects == found.predicted_objects == found.matched == 10_000
    assert found.segmentation_quality == pytest.approx(25 / 47)


def test_a_long_chain_of_contested_objects_is_paired_right():
    # Each true box meets two predicted ones, more boxes than are solved at once.
    true = [shapely.box(x, 0, x + 1, 1) for x in range(2500)]
    predicted = [shapely.box(x + 0.4, 0, x + 1.4, 1) for x in range(-1, 2500)]
    overlaps = Overlaps.of_polygons(true, predicted)
    assert len(overlaps.iou) == 5000
    pairs = overlaps.match(min_iou=0)
    assert (overlaps.predicted_of_pair[pairs] == overlaps.true_of_pair[pairs] + 1).all()
    assert overlaps.shared_areas[pairs] == pytest.approx(0.6)
