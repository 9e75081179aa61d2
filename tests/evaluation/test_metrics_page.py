"""The table of empty cases in docs/reference/metrics.md is what the code does."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from deeplab.evaluation.boundary import BorderDistances
from deeplab.evaluation.instances import (
    InstanceSums,
    Overlaps,
    centroids_um,
    compare_centroids,
    compare_objects,
    mean_quality,
)
from deeplab.evaluation.semantic import Confusion
from deeplab.evaluation.type_confusion import compare_types
from deeplab.geometry.frames import Mpp

PAGE = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text(encoding="utf-8")
MPP = Mpp.square(0.5)
NOTHING, HERE, THERE = (np.zeros((20, 30), np.int32) for _ in range(3))
HERE[2:5, 3:7] = 1
THERE[14:17, 20:24] = 1
CASES = {
    "neither has any": (NOTHING, NOTHING),
    "truth has none": (NOTHING, HERE),
    "prediction has none": (HERE, NOTHING),
    "both have some, nothing agrees": (HERE, THERE),
}


def confusion(truth, prediction):
    found = Confusion(2)
    found.add(truth.astype(np.uint8), prediction.astype(np.uint8))
    return found


def distances(truth, prediction):
    return BorderDistances.between(truth > 0, prediction > 0, MPP)


def objects(truth, prediction):
    return compare_objects(Overlaps.of_maps(truth, prediction))


def detection(truth, prediction):
    return compare_centroids(centroids_um(truth, MPP), centroids_um(prediction, MPP), 3.0)


def types(truth, prediction):
    sides = [centroids_um(labels, MPP) for labels in (truth, prediction)]
    ones = [np.ones(len(each), np.intp) for each in sides]
    return compare_types(sides[0], ones[0], sides[1], ones[1], radius_um=3.0, type_count=1)


FIGURES = {
    "precision": lambda *maps: confusion(*maps).precision[1],
    "recall": lambda *maps: confusion(*maps).recall[1],
    "Dice": lambda *maps: confusion(*maps).dice[1],
    "IoU": lambda *maps: confusion(*maps).iou[1],
    "MCC": lambda *maps: confusion(*maps).mcc[1],
    "boundary precision": lambda *maps: distances(*maps).precision(1.0),
    "boundary recall": lambda *maps: distances(*maps).recall(1.0),
    "boundary F1": lambda *maps: distances(*maps).f1(1.0),
    "95 % Hausdorff distance": lambda *maps: distances(*maps).hausdorff_um(),
    "mean surface distance": lambda *maps: distances(*maps).mean_um,
    "object precision": lambda *maps: objects(*maps).precision,
    "object recall": lambda *maps: objects(*maps).recall,
    "object F1": lambda *maps: objects(*maps).f1,
    "DQ": lambda *maps: objects(*maps).detection_quality,
    "SQ": lambda *maps: objects(*maps).segmentation_quality,
    "PQ": lambda *maps: objects(*maps).panoptic_quality,
    "AJI": lambda *maps: objects(*maps).aji,
    "AJI+": lambda *maps: objects(*maps).aji_plus,
    "object Dice": lambda *maps: objects(*maps).object_dice,
    "F_d": lambda *maps: detection(*maps).f1,
    "F_c": lambda *maps: types(*maps).f1_by_type[0],
    "type accuracy": lambda *maps: types(*maps).accuracy,
    "bPQ": lambda *maps: objects(*maps).pannuke_quality,
    "mPQ": lambda *maps: mean_quality([objects(*maps), InstanceSums()]),
}
OF_ALL_LABELS = {"accuracy", "mean IoU", "FwIoU", "multiclass MCC"}
SAID = {
    "NaN": math.isnan,
    "0": lambda figure: figure == 0,
    "infinite": lambda figure: figure == math.inf,
    "above 0": lambda figure: 0 < figure < math.inf,
    "below 0": lambda figure: figure < 0,
}


def rows_under(heading):
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in section.splitlines() if line[:1] == "|"]
    return rows[0], rows[2:]


def test_every_metric_is_explained_and_has_its_empty_cases():
    explained = [
        row[0] for part in ("Pixels", "Outlines", "Objects") for row in rows_under(part)[1]
    ]
    assert sorted(explained) == sorted([*FIGURES, *OF_ALL_LABELS])
    header, rows = rows_under("Empty cases")
    assert [row[0] for row in rows] == list(FIGURES)
    assert header[1:] == list(CASES)


@pytest.mark.parametrize("row", rows_under("Empty cases")[1], ids=lambda row: row[0])
def test_an_empty_case_is_as_the_page_says(row):
    name, *cells = row
    for said, maps in zip(cells, CASES.values(), strict=True):
        assert SAID[said](FIGURES[name](*maps)), (said, FIGURES[name](*maps))


@pytest.mark.parametrize(
    ("counts", "others", "multiclass_mcc"),
    [
        ([[0, 0], [0, 0]], math.nan, math.nan),
        ([[9, 0], [0, 0]], 1, math.nan),
        ([[4, 0], [5, 0]], None, 0),
        ([[4, 5], [0, 0]], None, 0),
        ([[0, 9], [0, 0]], None, 0),
    ],
)
def test_figures_of_all_labels_are_as_the_page_says(counts, others, multiclass_mcc):
    found = Confusion.of(counts)
    assert found.multiclass_mcc == pytest.approx(multiclass_mcc, nan_ok=True)
    if others is not None:
        figures = [found.accuracy, found.mean_iou, found.frequency_weighted_iou]
        assert figures == pytest.approx([others] * 3, nan_ok=True)
