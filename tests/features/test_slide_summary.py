"""What is said of a class on a slide."""

import math

import numpy as np
import pytest

from deeplab.features.slide_summary import summarise


def test_counts_areas_shares_and_densities():
    found = summarise("tumour", np.array([1e5, 2e5, 6e5]), tissue_area_um2=3e6)
    assert (found.class_name, found.count) == ("tumour", 3)
    assert found.total_area_um2 == pytest.approx(9e5)
    assert found.total_area_mm2 == pytest.approx(0.9)
    assert (found.mean_area_um2, found.median_area_um2) == (pytest.approx(3e5), 2e5)
    assert found.tissue_area_mm2 == pytest.approx(3)
    assert found.share_of_tissue == pytest.approx(0.3)
    assert found.density_per_mm2 == pytest.approx(1)


@pytest.mark.parametrize("tissue", [0, math.nan, -1])
def test_without_tissue_nothing_is_said_per_tissue(tissue):
    found = summarise("tumour", np.array([2.0]), tissue)
    assert (found.count, found.total_area_um2) == (1, 2)
    per_tissue = found.tissue_area_mm2, found.share_of_tissue, found.density_per_mm2
    assert all(map(math.isnan, per_tissue))


def test_a_class_without_objects_has_none_and_no_mean():
    found = summarise("tumour", np.array([]), 1e6)
    assert (found.count, found.total_area_um2, found.density_per_mm2) == (0, 0, 0)
    assert math.isnan(found.mean_area_um2)
    assert math.isnan(found.median_area_um2)


def test_shapes_without_an_area_are_not_counted():
    assert summarise("tumour", np.array([2.0, math.nan]), 1e6).count == 1
