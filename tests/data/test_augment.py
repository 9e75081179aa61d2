"""Augmentation: image and labels always move together."""

import numpy as np
import pytest

from deeplab.data.augment import Augmentation, orient
from deeplab.errors import ConfigError

SIDE = 65


def coded_patch(side, random):
    """A picture whose darkness tells its label: 0 bright, 1 dark; a corner is ignored."""
    labels = np.zeros((side, side), np.uint8)
    for _ in range(6):
        row, col = random.integers(0, side - 12, 2)
        labels[row : row + 12, col : col + 12] = 1
    rgb = np.where(labels[..., None] == 1, 60, 220).astype(np.uint8).repeat(3, axis=2)
    labels[: side // 4, : side // 4] = 255
    return rgb, labels


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_labels_stay_on_what_they_name(strength):
    augment = Augmentation(strength)
    random = np.random.default_rng(0)
    read = int(np.ceil(SIDE * augment.reach)) + 1
    agreements = []
    for _ in range(40):
        rgb, labels = augment(*coded_patch(read, random), SIDE, random)
        dark = rgb.mean(axis=2) < 140
        counted = labels != 255
        agreements.append(np.mean(dark[counted] == (labels[counted] == 1)))
    # A wrong turn, mirror or shift would leave little more than the background's share.
    assert np.mean(agreements) > 0.97


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_no_label_appears_that_was_not_there(strength):
    augment = Augmentation(strength)
    random = np.random.default_rng(1)
    read = int(np.ceil(SIDE * augment.reach)) + 1
    for _ in range(20):
        rgb, labels = augment(*coded_patch(read, random), SIDE, random)
        assert set(np.unique(labels)) <= {0, 1, 255}
        assert rgb.shape == (SIDE, SIDE, 3)
        assert labels.shape == (SIDE, SIDE)


def test_what_is_read_is_enough_for_every_turn_and_scale():
    augment = Augmentation(1.0)
    random = np.random.default_rng(2)
    read = round(SIDE * augment.reach)
    everything = np.zeros((read, read), np.uint8)
    rgb = np.full((read, read, 3), 200, np.uint8)
    for _ in range(200):
        _, labels = augment(rgb, everything, SIDE, random)
        assert (labels == 0).all(), "255 says that pixels were needed that were not read"


def test_strength_0_without_turning_changes_nothing():
    random = np.random.default_rng(3)
    rgb, labels = coded_patch(SIDE, random)
    same_rgb, same_labels = Augmentation(0, turn=False)(rgb, labels, SIDE, random)
    assert (same_rgb == rgb).all()
    assert (same_labels == labels).all()


def test_the_eight_orientations_are_different():
    random = np.random.default_rng(4)
    rgb = random.integers(0, 255, (5, 5, 3)).astype(np.uint8)
    seen = {orient(rgb, rgb[..., 0], which)[0].tobytes() for which in range(8)}
    assert len(seen) == 8


def test_the_same_draws_give_the_same_patch():
    augment = Augmentation(0.7)
    read = round(SIDE * augment.reach)
    patch = coded_patch(read, np.random.default_rng(5))
    first = augment(*patch, SIDE, np.random.default_rng(6))
    second = augment(*patch, SIDE, np.random.default_rng(6))
    assert (first[0] == second[0]).all()
    assert (first[1] == second[1]).all()


def test_a_strength_above_1_is_refused():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Augmentation(1.5)
