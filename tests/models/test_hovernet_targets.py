"""Targets of nuclei: zero on centroids, one at the ends, and nothing said of what is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.config.classes import IGNORE
from deeplab.models.hovernet.targets import encode
from tests.models.hovernet_for_tests import NucleiConfig, touching_ellipses

BOTH = pytest.mark.parametrize("convention", ["local", "original"])


def truth_of(instances, labels=None):
    labels = (instances > 0).astype(np.uint8) if labels is None else labels
    return {"instances": instances, "labels": labels}


def box(side, rows, columns, number=1):
    instances = np.zeros((side, side), np.int32)
    instances[slice(*rows), slice(*columns)] = number
    return instances


def test_hv_runs_from_the_ends_over_the_centroid():
    targets = encode(NucleiConfig(), truth_of(box(40, (10, 15), (20, 29))))
    np.testing.assert_allclose(targets["hv"][12, 20:29, 0], np.arange(-4, 5) / 4)
    np.testing.assert_allclose(targets["hv"][10:15, 24, 1], np.arange(-2, 3) / 2)
    assert not targets["hv"][targets["np"] == 0].any()


def test_the_zero_is_on_a_centroid_between_pixels():
    hv = encode(NucleiConfig(), truth_of(box(40, (10, 14), (20, 26))))["hv"]
    np.testing.assert_allclose(hv[12, 20:26, 0], [-1, -0.6, -0.2, 0.2, 0.6, 1], atol=1e-6)


def test_the_original_zero_is_a_pixel_before_the_rounded_centroid():
    hv = encode(NucleiConfig(convention="original"), truth_of(box(40, (10, 15), (20, 29))))["hv"]
    np.testing.assert_array_equal(np.flatnonzero(hv[12, 20:29, 0] == 0), [3])
    np.testing.assert_array_equal(np.flatnonzero(hv[10:15, 24, 1] == 0), [1])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), down=st.integers(0, 20), right=st.integers(0, 20))
def test_local_targets_move_with_the_nuclei(seed, down, right):
    instances = np.pad(touching_ellipses(seed, 64, radius=(3, 8)), 20)
    moved = np.roll(instances, (down, right), axis=(0, 1))
    one, other = (encode(NucleiConfig(), truth_of(each))["hv"] for each in (instances, moved))
    np.testing.assert_allclose(np.roll(one, (down, right), axis=(0, 1)), other, atol=1e-5)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_every_local_nucleus_reaches_both_ends_of_both_maps(seed):
    instances = touching_ellipses(seed, 80, radius=(3, 9))
    hv = encode(NucleiConfig(), truth_of(instances))["hv"]
    for number in range(1, instances.max() + 1):
        of_nucleus = hv[instances == number]
        np.testing.assert_allclose(of_nucleus.min(axis=0), -1, atol=1e-6)
        np.testing.assert_allclose(of_nucleus.max(axis=0), 1, atol=1e-6)
        # Offsets from a centroid add up to nothing, so neither side outweighs the other.
        assert np.abs(of_nucleus.mean(axis=0)).max() < 0.2


def test_a_nucleus_that_the_answer_cuts_keeps_its_map():
    instances = box(60, (5, 25), (20, 40))
    whole = encode(NucleiConfig(), truth_of(instances))
    cut = encode(NucleiConfig(margin=22), truth_of(instances))
    assert cut["np"].shape == (16, 16)
    assert cut["np"].sum() == 3 * 16
    for name in ("np", "hv"):
        np.testing.assert_array_equal(cut[name], whole[name][22:-22, 22:-22])


def test_local_nuclei_at_a_border_and_small_ones_have_maps_where_original_ones_have_none():
    at_border, small = box(50, (0, 12), (10, 20)), box(50, (20, 25), (20, 25))
    for instances in (at_border, small):
        truth = truth_of(instances)
        assert np.ptp(encode(NucleiConfig(), truth)["hv"]) == 2
        original = encode(NucleiConfig(convention="original"), truth)
        assert not original["hv"].any()
        assert original["np"].any()


def test_an_original_nucleus_in_two_pieces_has_a_map_for_each():
    instances = box(60, (10, 20), (10, 20)) + box(60, (40, 50), (40, 50))
    hv = encode(NucleiConfig(convention="original"), truth_of(instances))["hv"]
    np.testing.assert_array_equal(hv[10:20, 10:20], hv[40:50, 40:50])
    assert np.ptp(hv[10:20, 10:20, 0]) == 2


@BOTH
def test_types_are_ignored_where_a_nucleus_has_none_and_np_where_nothing_is_known(convention):
    instances = box(40, (5, 15), (5, 15)) + box(40, (5, 15), (20, 30), 7)
    instances += box(40, (20, 30), (5, 15), 9)
    labels = np.zeros((40, 40), np.uint8)
    labels[instances == 1] = 2
    labels[instances == 7] = IGNORE
    labels[35:] = IGNORE
    targets = encode(NucleiConfig(convention=convention, type_count=3), truth_of(instances, labels))
    expected = (instances > 0).astype(np.uint8)
    expected[35:] = IGNORE
    np.testing.assert_array_equal(targets["np"], expected)
    labels[instances == 9] = IGNORE  # drawn without a type
    np.testing.assert_array_equal(targets["tp"], labels)
    assert targets["np"].dtype == targets["tp"].dtype == np.uint8
    assert targets["hv"].dtype == np.float32


@BOTH
def test_a_patch_may_have_no_nuclei_and_ids_may_be_great(convention):
    config = NucleiConfig(convention=convention, margin=4)
    nothing = encode(config, truth_of(np.zeros((40, 40), np.int32)))
    assert set(nothing) == {"np", "hv"}
    assert not nothing["np"].any()
    assert not nothing["hv"].any()
    instances = touching_ellipses(3, 60)
    other = np.where(instances > 0, np.iinfo(np.int32).max - instances, 0).astype(np.int32)
    one, great = (encode(config, truth_of(each)) for each in (instances, other))
    np.testing.assert_array_equal(one["hv"], great["hv"])
