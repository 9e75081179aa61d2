"""Diameters of what was drawn, and whether it touches."""

import math

import numpy as np
import pytest
import shapely

from deeplab.data.object_sizes import LOOKED_AT, measure_sizes
from deeplab.exchange.labelling import Labelling
from tests.data.annotated_slides import annotated, labelled

RGB = np.full((64, 64, 3), 200, np.uint8)
RULES = Labelling(classes=("a", "b"))


def slide(shapes, mpp=0.5):
    return labelled(RGB, shapes, RULES, mpp=mpp)


def test_a_diameter_is_that_of_the_disc_of_the_same_area_in_um_of_each_slide():
    disc = shapely.Point(30, 30).buffer(10, quad_segs=256)
    fine, coarse = slide({"a": [disc]}, mpp=0.5), slide({"a": [disc]}, mpp=1.0)
    for slides, um in (([fine], 10), ([coarse], 20), ([fine, coarse], 15)):
        assert measure_sizes(slides, RULES.classes)["a"].median_um == pytest.approx(um, rel=1e-3)


def test_the_quantiles_are_of_all_slides_together_and_classes_without_objects_have_none():
    slides = [annotated([(1, 0, 0, side)]) for side in range(10, 21)]
    sizes = measure_sizes(slides, ("class 1", "class 2"))
    assert sizes.keys() == {"class 1"}
    found = sizes["class 1"]
    told = [found.tenth_um, found.median_um, found.ninetieth_um]
    sides = np.array(told) * math.sqrt(math.pi) / 2 / 0.5
    assert sides == pytest.approx([11, 15, 19])
    assert str(found) == "8.46 um across (6.21 to 10.7)"


def test_objects_touch_where_they_share_a_border_or_an_area_and_only_those_of_their_class():
    pairs = [shapely.box(0, 0, 5, 5), shapely.box(5, 0, 9, 5), shapely.box(20, 20, 30, 30)]
    alone = [shapely.box(22, 22, 26, 26)]
    sizes = measure_sizes([slide({"a": pairs, "b": alone})], RULES.classes)
    assert sizes["a"].touching == pytest.approx(2 / 3)
    assert sizes["b"].touching == 0


def test_of_many_objects_some_are_looked_at_and_all_can_be_what_they_touch():
    row = [shapely.box(0.01 * n, 0, 0.01 * (n + 1), 1) for n in range(2 * LOOKED_AT + 1)]
    assert measure_sizes([slide({"a": row})], RULES.classes)["a"].touching == 1
