"""Augmentation: image and labels always move together, and each kind does its own and no more."""

import numpy as np
import pytest
from scipy import ndimage

from deeplab.config.channels import Channels, Window
from deeplab.config.train_request import AUGMENTATIONS, AugmentSettings
from deeplab.data.augment import Augmentation
from deeplab.errors import ConfigError
from tests.slides_for_tests import tissue

SIDE = 97
GEOMETRIC = ("rotation", "scale", "elastic")
PHOTOMETRIC = tuple(kind for kind in AUGMENTATIONS if kind not in GEOMETRIC)


def only(strength, *kinds, flip=False):
    """Only these kinds at this strength."""
    own = {f"augment_{kind}": strength for kind in kinds}
    return Augmentation(AugmentSettings(augment=0, augment_flip=flip, **own))


def coded_patch(side, random):
    """A picture whose darkness tells its label: 0 bright, 1 dark; a corner is ignored."""
    labels = np.zeros((side, side), np.uint8)
    for _ in range(6):
        row, col = random.integers(0, side - 24, 2)
        labels[row : row + 24, col : col + 24] = 1
    rgb = np.where(labels[..., None] == 1, 60, 220).astype(np.uint8).repeat(3, axis=2)
    labels[: side // 3, : side // 3] = 255
    return rgb, labels


def warped(augment, random):
    warp = augment.warp(SIDE, random)
    rgb, labels = coded_patch(warp.reads(SIDE, warp.scale), random)
    rgb, truth = warp.apply(rgb, {"labels": labels}, SIDE, warp.scale)
    return rgb, truth["labels"]


@pytest.mark.parametrize("kinds", [(), *[(kind,) for kind in GEOMETRIC], GEOMETRIC])
def test_labels_stay_on_what_they_name(kinds):
    augment, random = only(1.0, *kinds, flip=True), np.random.default_rng(0)
    agreements = []
    for _ in range(30):
        rgb, labels = warped(augment, random)
        assert rgb.shape == (SIDE, SIDE, 3)
        dark, counted = rgb.mean(axis=2) < 140, labels != 255
        agreements.append(np.mean(dark[counted] == (labels[counted] == 1)))
    # A wrong turn, mirror, shift or bend would leave little more than the background's share.
    assert np.mean(agreements) > 0.985


@pytest.mark.parametrize("kinds", [*[(kind,) for kind in GEOMETRIC], GEOMETRIC])
def test_no_label_appears_that_was_not_there_and_ignored_pixels_stay(kinds):
    augment, random = only(1.0, *kinds, flip=True), np.random.default_rng(1)
    ignored = 0
    for _ in range(30):
        _, labels = warped(augment, random)
        assert set(np.unique(labels)) <= {0, 1, 255}
        ignored += bool((labels == 255).any())
    assert ignored > 15


def test_what_is_read_is_enough_for_every_turn_scale_and_bend():
    augment, random = only(1.0, *GEOMETRIC), np.random.default_rng(2)
    for _ in range(100):
        warp = augment.warp(SIDE, random)
        read = warp.reads(SIDE, warp.scale)
        everything = np.zeros((read, read), np.uint8)
        _, truth = warp.apply(
            np.zeros((read, read, 3), np.uint8), {"labels": everything}, SIDE, warp.scale
        )
        assert (truth["labels"] == 0).all(), "255 says that pixels were needed that were not read"


def test_strength_0_of_everything_changes_nothing():
    augment, random = only(0.0), np.random.default_rng(3)
    rgb, labels = coded_patch(SIDE, random)
    warp = augment.warp(SIDE, random)
    assert warp.reads(SIDE, 1.0) == SIDE
    same_rgb, same = warp.apply(rgb, {"labels": labels}, SIDE, 1.0)
    assert (augment.recolour(same_rgb, random) == rgb).all()
    assert (same["labels"] == labels).all()


@pytest.mark.parametrize("kind", GEOMETRIC)
def test_the_geometry_moves_pixels_farther_the_stronger_it_is(kind):
    def moved(strength):
        random = np.random.default_rng(4)
        far = []
        for _ in range(30):
            warp = only(strength, kind).warp(SIDE, random)
            bend = 0.0 if warp.bend is None else np.abs(warp.bend).mean()
            far.append(abs(warp.angle) + abs(np.log(warp.scale)) + bend)
        return np.mean(far)

    assert 0 == moved(0.0) < moved(0.2) < moved(0.5) < moved(1.0)


@pytest.mark.parametrize("kind", PHOTOMETRIC)
def test_colours_change_more_the_stronger_the_kind_is(kind):
    rgb, _ = tissue(SIDE, SIDE)

    def changed(strength):
        random = np.random.default_rng(5)
        after = [only(strength, kind).recolour(rgb, random) for _ in range(40)]
        assert all(a.shape == rgb.shape and a.dtype == np.uint8 for a in after)
        return np.mean(np.abs(np.asarray(after, int) - rgb))

    assert 0 == changed(0.0) < changed(0.2) < changed(0.5) < changed(1.0)


@pytest.mark.parametrize("kind", PHOTOMETRIC)
def test_what_changes_colours_moves_nothing(kind):
    augment, random = only(1.0, kind), np.random.default_rng(6)
    rgb, _ = coded_patch(SIDE, random)
    for _ in range(20):
        assert augment.warp(SIDE, random).keeps_grid
        after = augment.recolour(rgb, random)
        dark = after.mean(axis=2) < after.mean(axis=2).max() * 0.6
        assert np.mean(dark == (rgb[..., 0] < 140)) > 0.95


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_the_same_draws_give_the_same_patch(kind):
    rgb, _ = tissue(SIDE * 2, SIDE * 2)
    labels = (rgb[..., 0] > 128).astype(np.uint8)

    def made(seed):
        random, augment = np.random.default_rng(seed), only(0.7, kind)
        warp = augment.warp(SIDE, random)
        first = (len(rgb) - warp.reads(SIDE, warp.scale)) // 2
        part = slice(first, first + warp.reads(SIDE, warp.scale))
        pixels, _ = warp.apply(rgb[part, part], {"labels": labels[part, part]}, SIDE, warp.scale)
        return augment.recolour(pixels, random)

    same = [np.array_equal(made(seed), made(seed)) for seed in range(10)]
    other = [np.array_equal(made(seed), made(seed + 1)) for seed in range(10)]
    assert all(same)
    assert not all(other)


def test_a_strength_above_1_is_refused():
    with pytest.raises(ConfigError, match="from -1 to 1"):
        AugmentSettings(augment_blur=1.5)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_channels_are_changed_each_by_itself_without_colours_or_stains(count):
    windows = (Window(0, 1),) * count
    channels = Channels(tuple("abcde"[:count]), 0, windows)
    augmentation = Augmentation(AugmentSettings(augment=1.0), channels)
    pixels = np.full((64, 64, count), 120, np.uint8)
    changed = [augmentation.recolour(pixels, np.random.default_rng(seed)) for seed in range(20)]
    assert {(each.shape, each.dtype) for each in changed} == {((64, 64, count), pixels.dtype)}
    means = np.array([each.mean(axis=(0, 1)) for each in changed])
    assert means.std(axis=0).min() > 5
    assert count == 1 or np.abs(np.diff(means, axis=1)).max() > 5


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_any_number_of_channels_is_warped_as_each_alone(count):
    random = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(random.standard_normal((151, 151, count)), (3, 3, 0))
    pixels = np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    for seed in range(6):
        warp = Augmentation(AugmentSettings(augment=1.0)).warp(65, np.random.default_rng(seed))
        read = pixels[: warp.reads(65, 1.2), : warp.reads(65, 1.2)]
        whole, _ = warp.apply(read, {}, 65, 1.2, outside=0)
        alone = [warp.apply(read[..., [i]], {}, 65, 1.2, outside=0)[0] for i in range(count)]
        differences = whole.astype(int) - np.concatenate(alone, axis=2)
        assert np.abs(differences).max() <= 3  # OpenCV rounds a lone channel in its own way
