"""Detections against lesions: the curve, its score, and the AUC of slides."""

import math

import numpy as np
import pytest
import shapely
from sklearn.metrics import roc_auc_score

from deeplab.evaluation.froc import FALSE_POSITIVES, Froc, SlideDetections, slide_auc
from deeplab.evaluation.lesions import find_lesions
from deeplab.geometry.frames import Mpp

ONE = Mpp.square(1.0)
REACH_UM, ITC_UM, CELL_UM = 37.5, 200, 400
LARGE, TINY = shapely.box(0, 0, 1000, 1000), shapely.box(5000, 0, 5050, 50)


def held(points, confidences, outlines=(LARGE, TINY)):
    lesions = find_lesions(outlines, ONE, 75)
    return SlideDetections.of(np.array(points, float), np.array(confidences, float), lesions, 37.5)


def test_a_lesion_counts_with_its_most_confident_detection_and_cells_not_at_all():
    slide = held([(10, 10), (500, 500), (5010, 10), (3000, 3000)], [0.3, 0.8, 0.9, 0.2])
    assert slide.found == (0.8,)
    assert slide.false == (0.2,)
    assert slide.score == 0.9
    assert slide.has_lesion


def test_a_detection_just_beside_a_lesion_is_on_it():
    assert held([(1037, 500)], [0.5]).found == (0.5,)
    assert held([(1038, 500)], [0.5]).false == (0.5,)


def boxes_with_points(random):
    """Boxes (left, top, right, bottom), one in each cell of a grid, and points in and near them."""
    boxes, points = [], []
    for cell in np.ndindex(6, 6):
        corners = np.sort(random.uniform(1, CELL_UM - 1, (2, 2)), axis=0)
        box = (corners + CELL_UM * np.array(cell)).ravel()
        boxes.append(tuple(box))
        count = random.integers(0, 3)
        points.extend(random.uniform(box[:2] - 60, box[2:] + 60, (count, 2)))
    return boxes, np.array(points)


@pytest.mark.parametrize("seed", range(5))
def test_detections_are_matched_as_by_slow_loops(seed):
    boxes, points = boxes_with_points(np.random.default_rng(seed))
    confidences = np.random.default_rng(seed).permutation(len(points)) / len(points)
    best, on_some, on_cells = {}, set(), set()
    for box in boxes:
        left, top, right, bottom = box
        is_itc = math.hypot(right - left, bottom - top) < ITC_UM
        if not is_itc:
            best[box] = -math.inf
        for number, (x, y) in enumerate(points.tolist()):
            aside, above = max(left - x, 0, x - right), max(top - y, 0, y - bottom)
            if math.hypot(aside, above) > REACH_UM:
                continue
            on_some.add(number)
            if is_itc:
                on_cells.add(number)
            else:
                best[box] = max(best[box], confidences[number])
    false = [c for number, c in enumerate(confidences) if number not in on_some]
    # Lesions may not grow together here: a merge of 0 um, and gaps between the cells.
    lesions = find_lesions([shapely.box(*box) for box in boxes], ONE, 0)
    slide = SlideDetections.of(points, confidences, lesions, REACH_UM)
    assert sorted(slide.found) == sorted(best.values())
    assert list(slide.false) == false
    assert slide.score == max(confidences)
    # All cases are there: found and missed lesions, detections beside them all, some on cells.
    assert len({*best.values()} - {-math.inf}) > 1
    assert -math.inf in best.values()
    assert false
    assert on_cells


def test_a_slide_without_detections_finds_nothing():
    slide = held(np.zeros((0, 2)), [])
    assert (slide.found, slide.false, slide.score) == ((-np.inf,), (), 0.0)


def test_the_curve_of_a_hand_made_case():
    slides = [
        SlideDetections((0.9, 0.4), (0.6,), 0.9, True),
        SlideDetections((-np.inf,), (0.5, 0.4), 0.5, True),
        SlideDetections((), (0.7,), 0.7, False),
        SlideDetections((), (), 0.0, False),
    ]
    froc = Froc.of(slides)
    assert froc.thresholds.tolist() == [np.inf, 0.9, 0.7, 0.6, 0.5, 0.4]
    assert froc.false_positives.tolist() == [0, 0, 0.25, 0.5, 0.75, 1.0]
    assert froc.sensitivity == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 3])
    assert froc.at(0.875) == pytest.approx(0.5)  # between two points by a line
    assert froc.score == pytest.approx((1 / 3 + 1 / 3 + 4 * 2 / 3) / 6)
    assert slide_auc(slides) == pytest.approx((1 + 1 + 0 + 1) / 4)


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_is_that_of_a_slow_count(seed):
    random = np.random.default_rng(seed)
    slides = []
    for _ in range(20):
        false = random.integers(0, 10, random.integers(0, 12)) / 10
        found = np.where(random.random(random.integers(0, 4)) < 0.3, -np.inf, 0.1)
        found = np.where(np.isfinite(found), random.integers(0, 10, len(found)) / 10, found)
        scores = [*false, *found[np.isfinite(found)], 0]
        slides.append(SlideDetections(tuple(found), tuple(false), max(scores), bool(len(found))))
    froc = Froc.of(slides)
    points = [(0.0, 0.0)]
    lesions = sum(len(slide.found) for slide in slides)
    for level in sorted({c for s in slides for c in (*s.false, *s.found) if c >= 0}, reverse=True):
        wrong = sum(c >= level for slide in slides for c in slide.false)
        hits = sum(c >= level for slide in slides for c in slide.found)
        points.append((wrong / len(slides), hits / lesions))
    assert np.column_stack([froc.false_positives, froc.sensitivity]) == pytest.approx(
        np.array(points)
    )
    slow = [_read(points, at) for at in FALSE_POSITIVES]
    assert froc.score == pytest.approx(np.mean(slow))
    truth = [slide.has_lesion for slide in slides]
    assert slide_auc(slides) == pytest.approx(roc_auc_score(truth, [s.score for s in slides]))


def _read(points, at):
    before = [point for point in points if point[0] <= at][-1]
    after = [point for point in points if point[0] > at]
    if not after:
        return before[1]
    (x0, y0), (x1, y1) = before, after[0]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)


def test_without_lesions_or_with_slides_of_one_kind_there_is_no_figure():
    slides = [SlideDetections((), (0.5,), 0.5, False)]
    assert np.isnan(Froc.of(slides).score)
    assert np.isnan(slide_auc(slides))
