"""Pairs by type: what F_d, F_c and the accuracy of types are made of."""

import math

import numpy as np
import pytest

from deeplab.evaluation.instances import compare_centroids
from deeplab.evaluation.original_hovernet import original_type_figures
from deeplab.evaluation.type_confusion import TypeConfusion, compare_types

RADIUS_UM = 3.0


def nuclei(*rows):
    """Centroids and types of rows (x, y, type)."""
    table = np.array(rows, float).reshape(-1, 3)
    return table[:, :2], table[:, 2].astype(np.intp)


def compared(true, predicted, type_count=2):
    return compare_types(*true, *predicted, radius_um=RADIUS_UM, type_count=type_count)


def test_counts_are_by_true_and_predicted_type_and_those_alone_at_the_edge():
    true = nuclei((0, 0, 1), (20, 0, 1), (40, 0, 2), (60, 0, 2))
    predicted = nuclei((1, 0, 1), (20, 1, 2), (40, 0, 2), (90, 0, 1))
    found = compared(true, predicted)
    assert found.counts.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 1]]
    assert found.detection_f1 == 2 * 3 / (2 * 3 + 2)
    assert found.accuracy == pytest.approx(2 / 3)
    # 2 TP / (2 TP + 2 FP + 2 FN + alone)
    assert found.f1_by_type.tolist() == pytest.approx([2 / (2 + 2 + 1), 2 / (2 + 2 + 1)])


def test_pairs_of_slides_add_up_and_types_may_come_later():
    one = compared(nuclei((0, 0, 1)), nuclei((0, 0, 1)), type_count=1).widened(2)
    other = compared(nuclei((0, 0, 2)), nuclei((0, 0, 1)))
    assert (one + other).counts.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert (one + TypeConfusion.nothing(2)).counts.tolist() == one.counts.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_with_nuclei_far_apart_and_none_invented_it_is_what_the_original_finds(seed):
    random = np.random.default_rng(seed)
    places = random.permutation(400)[:30]
    middles = np.column_stack([places % 20, places // 20]) * 40.0
    sides = []
    for chosen in (random.random(30) < 1, random.random(30) < 0.8):
        jitter = random.uniform(-4, 4, (30, 2))
        sides.append(((middles + jitter)[chosen], random.integers(1, 4, 30)[chosen]))
    true, predicted = sides
    ours = compare_types(*true, *predicted, radius_um=12, type_count=3)
    f_d, accuracy, f_c = original_type_figures([(true, predicted)], [1, 2, 3])
    assert ours.detection_f1 == pytest.approx(f_d)
    assert ours.detection_f1 == compare_centroids(true[0], predicted[0], 12).f1
    assert ours.accuracy == pytest.approx(accuracy, nan_ok=True)
    assert ours.f1_by_type.tolist() == pytest.approx(f_c, nan_ok=True)


def test_a_type_that_is_none_is_refused():
    with pytest.raises(ValueError, match="from 1 to 2"):
        compared(nuclei((0, 0, 3)), nuclei())


def test_in_the_original_a_pair_with_an_untyped_nucleus_is_no_mistake():
    image = (nuclei((0, 0, -1), (40, 0, 1)), nuclei((0, 0, 1), (40, 0, 1)))
    _, accuracy, f_c = original_type_figures([image], [1], exhaustive=False)
    assert (accuracy, f_c) == (1, [1])
    _, accuracy, f_c = original_type_figures([image], [1])
    assert (accuracy, f_c) == (0.5, [2 / 4])


def test_in_the_original_an_image_without_nuclei_has_one_at_its_corner():
    f_d, _, f_c = original_type_figures([(nuclei(), nuclei())], [1])
    assert f_d == 1
    assert math.isnan(f_c[0])
