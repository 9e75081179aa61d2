"""Nuclei out of maps: those that went in, and the same ones whatever the tile."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deeplab.models.hovernet.decode import decode
from deeplab.models.hovernet.targets import encode
from tests.models.hovernet_for_tests import (
    NucleiConfig,
    blurred_maps,
    found_again,
    touching_ellipses,
)

REACH = 40  # px: the filters' half, and of a nucleus of this size more than its diameter
BOTH = pytest.mark.parametrize("convention", ["local", "original"])


def exact_maps(instances):
    truth = {"instances": instances, "labels": (instances > 0).astype(np.uint8)}
    return encode(NucleiConfig(), truth)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    radius=st.sampled_from([(6.0, 14.0), (8.0, 20.0), (10.0, 12.0)]),
    crowd=st.floats(0.2, 1.0),
)
def test_decode_gives_back_what_encode_took(seed, radius, crowd):
    instances = touching_ellipses(seed, 320, radius=radius, crowd=crowd)
    answer = decode(NucleiConfig(), exact_maps(instances))
    again = found_again(instances, answer.instances) >= 0.9
    # Of few nuclei one may be so thin that there is no middle to it.
    assert np.count_nonzero(~again) <= max(1, 0.01 * again.size)
    assert abs(len(answer.labels) - again.size) <= max(1, 0.01 * again.size)


@pytest.mark.slow
def test_decode_gives_back_ninety_nine_of_a_hundred_and_most_of_small_ones():
    shares = []
    for radius in ((6.0, 14.0), (4.0, 6.0)):
        maps = [touching_ellipses(seed, 320, radius=radius, crowd=0.8) for seed in range(6)]
        again = [found_again(m, decode(NucleiConfig(), exact_maps(m)).instances) for m in maps]
        shares.append(np.mean(np.concatenate(again) >= 0.9))
    assert shares[0] >= 0.99
    assert shares[1] >= 0.9


@settings(max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_soft_and_uneven_maps_give_nearly_all_nuclei(seed):
    instances = touching_ellipses(seed, 320, radius=(8, 16), crowd=0.8)
    answer = decode(NucleiConfig(), blurred_maps(instances, seed))
    assert np.mean(found_again(instances, answer.instances) >= 0.8) >= 0.95


def nuclei_within(instances, reach):
    """The ids of the nuclei whose centroid is `reach` or more away from the map's border."""
    ys, xs = np.nonzero(instances)
    ids = instances[ys, xs]
    areas = np.maximum(np.bincount(ids), 1)
    height, width = instances.shape
    within = np.ones(len(areas), bool)
    for places, length in ((ys, height), (xs, width)):
        centroids = np.bincount(ids, places) / areas
        within &= (centroids >= reach) & (centroids < length - reach)
    within[0] = False
    return np.flatnonzero(within)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_window_shows_the_nuclei_that_the_whole_shows(seed):
    whole_maps = blurred_maps(touching_ellipses(seed, 600, crowd=0.8), seed)
    whole = decode(NucleiConfig(), whole_maps)
    random = np.random.default_rng(seed)
    same = []
    for _ in range(6):
        top, left = random.integers(0, 600 - 256, 2)
        window = (slice(top, top + 256), slice(left, left + 256))
        part = decode(NucleiConfig(), {name: values[window] for name, values in whole_maps.items()})
        cut = whole.instances[window]
        for one, other in ((cut, part.instances), (part.instances, cut)):
            inside = nuclei_within(one, REACH)
            same += list(found_again(one, other)[inside - 1] >= 0.9)
    assert len(same) > 500
    assert np.mean(same) >= 0.995


def test_what_a_distant_part_of_a_tile_holds_changes_no_nucleus():
    maps = blurred_maps(touching_ellipses(5, 200), 5)
    wide = {
        name: np.pad(m, [(0, 0), (0, 200)] + [(0, 0)] * (m.ndim - 2)) for name, m in maps.items()
    }
    alone = decode(NucleiConfig(), wide).instances
    wide["hv"][50:150, 300:350] = 1.0
    wide["hv"][50:150, 350:400] = -1.0
    wide["np"][50:150, 300:400] = 1.0
    beside = decode(NucleiConfig(), wide).instances
    count = alone[:, :200].max()
    assert np.mean(found_again(alone[:, :200], beside[:, :200]) == 1) == 1
    assert count > 10


@BOTH
def test_each_nucleus_has_the_type_of_most_pixels_and_says_how_sure_it_is(convention):
    instances = np.zeros((120, 120), np.int32)
    for number, (row, column) in enumerate(((10, 10), (10, 70), (70, 10), (70, 70)), start=1):
        instances[row : row + 20, column : column + 20] = number
    maps = exact_maps(instances)
    types = np.zeros((120, 120), np.uint8)
    types[10:30, 10:30] = 3
    types[10:14, 10:30] = 1  # a fifth of the first
    types[10:16, 70:90] = 2  # less of the second than has none
    types[70:80, 10:30] = 3  # equals
    types[80:90, 10:30] = 1
    probability = np.where(instances == 2, np.float32(0.75), maps["np"].astype(np.float32))
    answer = decode(
        NucleiConfig(convention=convention, type_count=3),
        {"np": probability, "hv": maps["hv"], "tp": types},
    )
    order = [answer.instances[instances == number][200] - 1 for number in (1, 2, 3, 4)]
    np.testing.assert_array_equal(answer.labels[order], [3, 2, 1, 0])
    np.testing.assert_allclose(answer.label_probability[order], [0.8, 0.3, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(answer.confidence[order], [1, 0.75, 1, 1], atol=1e-6)
    assert answer.labels.dtype == np.uint8
    assert answer.instances.dtype == np.int32
    assert answer.confidence.dtype == answer.label_probability.dtype == np.float32


@BOTH
def test_without_types_every_nucleus_is_of_the_one_class(convention):
    answer = decode(NucleiConfig(convention=convention), exact_maps(touching_ellipses(2, 150)))
    assert len(answer.labels) == answer.instances.max() > 5
    assert (answer.labels == 1).all()
    assert answer.label_probability is None


@BOTH
@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_tile_may_be_all_background_or_all_nucleus(convention, probability):
    maps = {
        "np": np.full((64, 80), probability, np.float32),
        "hv": np.zeros((64, 80, 2), np.float32),
    }
    answer = decode(NucleiConfig(convention=convention), maps)
    assert answer.instances.shape == (64, 80)
    assert len(answer.labels) == answer.instances.max()
    if convention == "local":
        assert len(answer.labels) == probability


def test_a_nucleus_too_small_for_a_marker_is_found_and_a_fleck_is_not():
    instances = np.zeros((80, 80), np.int32)
    instances[10:12, 10:30] = 1  # 40 px, nowhere wide enough
    instances[40:44, 40:43] = 2  # 12 px
    maps = exact_maps(instances)
    found = decode(NucleiConfig(), maps).instances
    np.testing.assert_array_equal(found, instances == 1)
    assert not decode(NucleiConfig(convention="original"), maps).instances.any()


def test_a_ring_of_nuclei_does_not_fill_with_one():
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    instances = np.zeros((160, 160), np.int32)
    ys, xs = np.indices(instances.shape)
    for number, angle in enumerate(angles, start=1):
        y, x = 80 + 42 * np.sin(angle), 80 + 42 * np.cos(angle)
        disc = (ys - y) ** 2 + (xs - x) ** 2 <= 12.5**2
        instances[disc & (instances == 0)] = number
    answer = decode(NucleiConfig(), exact_maps(instances))
    assert (found_again(instances, answer.instances) >= 0.9).all()
    assert len(answer.labels) == 12
