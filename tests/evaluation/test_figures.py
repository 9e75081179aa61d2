"""The table: pooled by area, borders put together, intervals of slides, and explained on a page."""

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeplab.evaluation.bootstrap import Interval
from deeplab.evaluation.boundary import BorderDistances
from deeplab.evaluation.figures import COLUMNS, IDENTITY, Figure, Figures, write_table
from deeplab.evaluation.slide_score import judge
from deeplab.geometry.frames import Mpp
from tests.evaluation.cases_for_tests import HALF, read, request, side, sized, square

PAGE = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text(encoding="utf-8")


def score(name, true, predicted, mpp=HALF, **settings):
    settings = {"classes": ("a",), **settings}
    reference, prediction = (sized(side(mpp, a=some), 120, 90) for some in (true, predicted))
    found = judge(read(reference, prediction, **settings), request(**settings)).score
    return replace(found, name=name)


@pytest.fixture
def scores():
    return (
        score("good", [square(20, 20, 40)], [square(20, 20, 40)]),
        score("shifted", [square(20, 20, 20)], [square(30, 20, 20)]),
        score("empty", [], []),
    )


def test_pooled_is_of_the_sum_and_the_mean_passes_over_slides_without_a_figure(scores):
    figures = Figures(scores=scores, border_um=1.0)
    assert figures.pooled("dice", "a").value == pytest.approx((1600 + 200) / (1600 + 400))
    assert figures.mean("dice", "a").value == pytest.approx((1 + 0.5) / 2)
    assert math.isnan(figures.of_slide("empty", "dice", "a"))
    assert figures.pooled("object_f1", "a").value == 0.5
    assert figures.pooled("object_f1").value == 0.5
    assert figures.pooled("true_objects", "a").value == 2


def test_pooled_distances_are_those_of_all_borders_side_by_side(scores):
    figures = Figures(scores=scores, border_um=1.0)
    truth, prediction = (np.zeros((3000, 120), bool) for _ in range(2))
    truth[20:60, 20:60], prediction[20:60, 20:60] = True, True
    truth[2020:2040, 20:40], prediction[2020:2040, 30:50] = True, True  # far from the others
    expected = BorderDistances.between(truth, prediction, HALF)
    found = figures.pooled("hausdorff_95_um", "a")
    assert found.value == pytest.approx(expected.hausdorff_um())
    assert figures.pooled("mean_surface_distance_um", "a").value == pytest.approx(expected.mean_um)
    assert figures.pooled("boundary_f1", "a").value == pytest.approx(expected.f1(1.0))
    assert 0 <= found.low <= found.value <= found.high
    assert found.high == pytest.approx(scores[1].borders[0].hausdorff_um(), rel=0.005)


def test_a_class_that_a_slide_misses_has_figures_and_bounds_all_the_same(scores):
    missed = score("missed", [square(20, 20, 40)], [])
    figures = Figures(scores=(*scores, missed), border_um=1.0)
    assert figures.pooled("hausdorff_95_um", "a").value == math.inf
    assert figures.pooled("hausdorff_95_um", "a").high == math.inf
    assert figures.mean("mean_surface_distance_um", "a").value == math.inf
    assert figures.mean("hausdorff_95_um", "a").low < math.inf
    assert 0 < figures.pooled("boundary_f1", "a").value < 1


def test_slides_of_other_scales_count_by_their_area():
    fine = score("fine", [square(20, 20, 40)], [square(20, 20, 40)], mpp=Mpp.square(0.5))
    coarse = score("coarse", [square(20, 20, 40)], [], mpp=Mpp.square(1.0))
    figures = Figures(scores=(fine, coarse), border_um=1.0)
    assert figures.pooled("recall", "a").value == pytest.approx(400 / (400 + 1600))
    assert figures.pooled("aji", "a").value == pytest.approx(400 / (400 + 1600))
    assert figures.mm2[1].tolist() == pytest.approx([1600e-6, 400e-6])


def test_of_one_slide_there_is_no_interval(scores):
    figures = Figures(scores=scores[:1], border_um=1.0)
    assert all(math.isnan(figure.interval.low) for figure in figures.all_figures)
    assert figures.pooled("dice", "a").value == figures.of_slide("good", "dice", "a") == 1


def test_the_table_has_each_figure_once_and_no_words_for_numbers(scores, tmp_path):
    write_table(tmp_path / "t.csv", Figures(scores=scores, border_um=1.0))
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(rows[0]) == (*COLUMNS, *IDENTITY)
    keys = [tuple(row[name] for name in COLUMNS[:5]) for row in rows]
    assert len(set(keys)) == len(keys)
    cells = [row[name] for row in rows for name in ("value", "low", "high")]
    assert all(cell == "" or not math.isnan(float(cell)) for cell in cells)
    assert {row["level"] for row in rows} == {"slide", "mean", "pooled"}


def test_the_page_explains_each_metric_of_the_table():
    with_centroids = score("good", [square(20, 20, 40)], [square(20, 20, 40)], centroid_um=3.0)
    figures = Figures(scores=(with_centroids,), border_um=1.0)
    section = PAGE.split("\n## What an evaluation counts\n")[1].split("\n## ")[0]
    table = section.split("| `metric` |")[1]
    explained = {
        name
        for line in table.splitlines()[2:]
        if line.startswith("|")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert explained == {figure.metric for figure in figures.all_figures}
    for column in (*COLUMNS, *IDENTITY):
        assert f"`{column}`" in section


def test_names_in_the_table_are_no_formulas():
    figure = Figure(
        level="slide", metric="dice", interval=Interval(-0.5, -1, 1), class_name="=a", slide="-b"
    )
    assert figure.row == ("slide", "'-b", "'=a", "", "dice", "-0.5", "-1", "1")


def test_figures_of_nuclei_are_of_each_slide_their_mean_and_pooled():
    settings = {"centroid_um": 3.0}
    scores = tuple(
        score(name, true, predicted, **settings)
        for name, true, predicted in (
            ("good", [square(20, 20, 40)], [square(20, 20, 40)]),
            ("missed", [square(20, 20, 20)], []),
            ("invented", [], [square(20, 20, 20)]),
        )
    )
    figures = Figures(scores=scores, border_um=1.0)
    # PanNuke leaves out what has no true object; elsewhere nothing right is 0.
    assert math.isnan(figures.of_slide("invented", "bpq"))
    assert figures.of_slide("invented", "binary_pq") == 0
    assert figures.mean("bpq").value == figures.mean("mpq").value == 1 / 2
    assert figures.mean("binary_pq").value == pytest.approx(1 / 3)
    assert figures.pooled("binary_pq").value == figures.pooled("centroid_f1").value == 1 / 2
    assert figures.pooled("type_f1", "a").value == 2 / (2 + 2)
    assert figures.pooled("type_accuracy").value == 1
