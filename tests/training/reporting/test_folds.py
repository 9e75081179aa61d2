"""What the trainings of all folds came to, told by the kind of what was judged."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from deeplab.config.classes import ClassList
from deeplab.evaluation.object_tally import ObjectTally
from deeplab.evaluation.patch_tally import PatchTally
from deeplab.evaluation.semantic import Confusion
from deeplab.training.reporting.folds import FoldFacts, FoldsReport, folds_page, write_folds
from deeplab.training.validation.gain import PatientFigures
from deeplab.training.validation.results import spread

BEST = "The best of several validations is kept in each fold"


def patches(number):
    """Patches of a patient: those with the tumour have higher scores, but for a few."""
    random = np.random.default_rng(number)
    truth = random.random((20, 1)) < 0.5
    scores = np.clip(0.3 + 0.3 * truth + random.normal(0, 0.2, truth.shape), 0, 1)
    return PatchTally.of_scores(scores, truth, exclusive=False)


def report(tally_of, **changes):
    folds = [{f"p{n}": tally_of(n) for n in range(3 * fold, 3 * fold + 3)} for fold in range(2)]
    facts = {
        "model": "m.zip",
        "classes": ClassList.named(("tumour",)),
        "folds": tuple(
            FoldFacts(slides=3, steps=7, figures=PatientFigures(tallies=each, seed=1), without=None)
            for each in folds
        ),
        "figures": PatientFigures(tallies=folds[0] | folds[1], seed=1),
        "gain": None,
        "keep": "last",
    }
    return FoldsReport(**facts | changes)


def table_of(told, path):
    write_folds(told, None, path)
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_folds_of_patches_have_auroc_with_its_bounds(tmp_path):
    told = report(patches)
    head, *rows = table_of(told, tmp_path / "folds.csv")
    assert head[:5] == ["fold", "patients", "slides", "steps", "macro F1"]
    assert head[7:] == ["F1 tumour", "AUROC tumour", "from", "to"]
    tallies = [patches(n) for n in range(6)]
    pooled = float(sum(tallies[1:], start=tallies[0]).auroc[0])
    low, high = spread(tallies, 1, lambda tally: float(tally.auroc[0]))
    assert low < pooled < high
    assert rows[-1][8:] == [f"{value:.3f}" for value in (pooled, low, high)]
    assert float(rows[0][8]) == pytest.approx(
        sum(tallies[1:3], start=tallies[0]).auroc[0], abs=5e-4
    )
    assert f"  AUROC tumour: {pooled:.4f} ({low:.4f} to {high:.4f})" in told.lines()
    assert "F1 is at the threshold that is best on the very patches judged" in folds_page(told)


@pytest.mark.parametrize(
    ("tally", "further"),
    [
        (Confusion.of([[90, 5], [5, 40]]), ["Dice tumour", "IoU tumour", "from", "to"]),
        (ObjectTally.empty(1), ["PQ tumour"]),
    ],
)
def test_folds_of_pixels_have_iou_and_those_of_objects_pq(tmp_path, tally, further):
    head, *rows = table_of(report(lambda _: tally), tmp_path / "folds.csv")
    assert head[7:] == further
    assert {len(row) for row in rows} == {len(head)}


def test_what_is_not_defined_has_no_bounds():
    """As AUROC in a fold of which every patch has the class."""
    all_of_it = PatchTally.of_scores([[0.9], [0.7]], [[1], [1]], exclusive=False)
    told = report(lambda _: all_of_it)
    assert told.figures.bounds_of("AUROC", 0) is None
    assert not any("AUROC" in line for line in told.lines())
    nothing = report(lambda _: ObjectTally.empty(1))
    assert np.isnan(nothing.spread).all()
    assert folds_page(nothing).count("–")


def test_that_the_best_is_kept_is_said_where_it_is():
    told = report(patches)
    assert BEST not in folds_page(told)
    assert BEST in folds_page(replace(told, keep="best"))
