"""Charts of measured objects come out whatever the numbers and names are."""

import io

import numpy as np
import pytest
from PIL import Image

from deeplab.features.charts import boxes_png, histograms_png, scatter_png
from deeplab.features.figures import FIGURES

AREA, ROUND = FIGURES[0], FIGURES[3]
RED = (200, 10, 20)


def size_of(content):
    with Image.open(io.BytesIO(content)) as picture:
        return picture.size


@pytest.mark.parametrize(
    "values",
    [[5.0], [0.0, 0.0], [1e-9, 2e-9], [-3.0, 1e12], [7.0, np.nextafter(7, 8)], [-80.0] * 300],
)
def test_a_histogram_can_be_drawn_of_any_numbers(values):
    width, height = size_of(histograms_png({AREA: np.array(values)}, RED))
    assert width > height


def test_histograms_stand_three_in_a_row():
    one, four = (
        size_of(histograms_png({each: np.arange(9.0) for each in FIGURES[:count]}, RED))
        for count in (1, 4)
    )
    assert four == (one[0], 2 * one[1])


def test_boxes_grow_with_the_groups_and_take_any_names():
    group = {AREA: np.arange(9.0), ROUND: np.ones(3)}
    small = boxes_png({"$a^{b": group, "x" * 99: {AREA: np.arange(2.0)}}, RED)
    large = boxes_png({str(number): group for number in range(20)}, RED)
    assert size_of(large)[1] > 2 * size_of(small)[1]


def test_dots_of_each_class_are_drawn():
    points = np.random.default_rng(0).uniform(1, 2, (20_000, 2))
    empty = size_of(scatter_png(AREA, ROUND, {"$^": (points[:2], RED)}))
    assert size_of(scatter_png(AREA, ROUND, {"a": (points, RED), "b": (points, RED)})) == empty


@pytest.mark.parametrize(
    "points", [[[5.0, 1.0]] * 2, [[2490.0, 0.785], [np.nextafter(2490, 0), 0.785]], [[1e-9, 0]]]
)
@pytest.mark.filterwarnings("error")
def test_dots_may_all_lie_in_one_place(points):
    assert size_of(scatter_png(AREA, ROUND, {"a": (np.array(points), RED)}))
