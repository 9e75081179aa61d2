"""What a patch classifier is told of its errors, and what it learns from of a patch."""

import numpy as np
import pytest

from deeplab.annotations.raster.rasterize import covers
from deeplab.config.classes import IGNORE
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.train_request import LossSettings
from deeplab.errors import ConfigError
from deeplab.models.layers.dropout_attention import (
    ProgressiveDropoutAttention,
    dropped_attention,
)
from deeplab.models.patch_classifier.losses import patch_loss
from deeplab.models.patch_classifier.network import build
from deeplab.models.patch_classifier.targets import encode


def config(problem: str, classes: int = 3) -> PatchClassifierConfig:
    return PatchClassifierConfig(
        classes=classes, crop_size=64, problem=problem, backbone="resnet_18"
    )


def drawn(bits: list[int], labels: list[int]) -> dict[str, np.ndarray]:
    """A patch of four columns that have these bits and labels."""
    return {
        "classes": np.tile(np.array(bits, np.uint32), (4, 1)),
        "labels": np.tile(np.array(labels, np.uint8), (4, 1)),
    }


def test_a_patch_has_the_classes_that_cover_a_quarter_of_it():
    truth = drawn([0b011, 0b010, 0b010, 0b100], [2, 2, 2, 3])
    shares, judged = covers(truth, 3)
    assert (shares.tolist(), judged) == ([0.25, 0.75, 0.25], 1)
    targets = encode(config("multi_label"), truth)
    assert targets["classes"].tolist() == [1, 1, 1]
    targets = encode(config("multi_class"), truth)
    assert (targets["classes"].tolist(), targets["known"]) == ([0, 1, 0], 1)


def test_what_nobody_judged_is_no_part_of_a_patch():
    truth = drawn([0b001, 0b000, 0, 0], [1, 0, IGNORE, IGNORE])
    targets = encode(config("multi_label"), truth)
    assert (targets["classes"].tolist(), targets["known"]) == ([1, 0, 0], 1)
    mostly = drawn([0b001, 0, 0, 0], [1, IGNORE, IGNORE, IGNORE])
    assert encode(config("multi_label"), mostly)["known"] == 0


def test_a_patch_of_no_class_counts_only_where_classes_do_not_exclude_each_other():
    truth = drawn([0, 0, 0, 0], [0, 0, 0, 0])
    assert encode(config("multi_label"), truth)["known"] == 1
    assert encode(config("multi_class"), truth)["known"] == 0


def loss_of(problem, logits, truth, known=None, **settings) -> float:
    loss = patch_loss(config(problem), LossSettings(**settings))
    known = np.ones(len(truth)) if known is None else np.asarray(known)
    targets = {"classes": np.asarray(truth, "f4"), "known": known.astype("f4")}
    maps = {"classes": np.asarray(logits, "f4")}
    errors = np.asarray(loss.errors(targets, maps, 0)).sum()
    return float(errors / np.asarray(loss.weights(targets, 0)).sum())


LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0]])


def test_cross_entropy_of_a_softmax_weighs_patches_by_their_class():
    truth = np.eye(3)[[0, 1]]
    entropies = np.log(np.exp(LOGITS).sum(axis=1)) - LOGITS[[0, 1], [0, 1]]
    assert loss_of("multi_class", LOGITS, truth) == pytest.approx(entropies.mean(), rel=1e-6)
    found = loss_of("multi_class", LOGITS, truth, class_weights=(3.0, 1.0, 1.0))
    assert found == pytest.approx((3 * entropies[0] + entropies[1]) / 4, rel=1e-6)
    focal = (1 - np.exp(-entropies)) ** 2 * entropies
    assert loss_of("multi_class", LOGITS, truth, loss="focal") == pytest.approx(focal.mean())


def test_the_loss_of_a_mixed_patch_is_mixed():
    one, other = np.eye(3)[[0, 1]], np.eye(3)[[1, 2]]
    for problem in ("multi_class", "multi_label"):
        mixed = loss_of(problem, LOGITS, 0.3 * one + 0.7 * other)
        parts = [loss_of(problem, LOGITS, each) for each in (one, other)]
        assert mixed == pytest.approx(0.3 * parts[0] + 0.7 * parts[1], rel=1e-6)


def test_a_patch_that_is_not_known_is_in_no_loss():
    truth = np.array([[1.0, 0, 1], [0, 0, 0]])
    alone = loss_of("multi_label", LOGITS[:1], truth[:1])
    assert loss_of("multi_label", LOGITS, truth, known=[1, 0]) == pytest.approx(alone)


def test_settings_of_pixels_are_refused():
    with pytest.raises(ConfigError, match="lovasz_weight must be 0 for a patch classifier"):
        patch_loss(config("multi_label"), LossSettings(lovasz_weight=1.0))
    with pytest.raises(ConfigError, match="class_weights must be 3 numbers, one a class"):
        patch_loss(config("multi_label"), LossSettings(class_weights=(1.0, 2.0)))


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"problem": "multi_class", "classes": 1}, "problem must be multi_label for a single"),
        ({"backbone": "nas_hnasnet"}, "backbone must be one of "),
        ({"crop_size": 100}, "patch_size must be a multiple of 32 for resnet_18"),
        ({"backbone": "vit_base_patch16", "depth_multiplier": 0.5}, "depth_multiplier must be 1"),
        ({"least_cover": 0.0}, "least_cover must be from 0.001 to 1"),
        ({"attention_gamma": 1.5}, "attention_gamma must be from 0.01 to 1"),
        (
            {"backbone": "vit_base_patch16", "attention_epoch": 9},
            "attention_epoch must be 0 for vit_base_patch16, which reads classes from more than",
        ),
    ],
)
def test_a_classifier_that_cannot_be_is_refused(knobs, sentence):
    usual = {"classes": 3, "crop_size": 64, "problem": "multi_label", "backbone": "resnet_18"}
    with pytest.raises(ConfigError, match=sentence):
        PatchClassifierConfig(**(usual | knobs))


def test_attention_leaves_out_what_is_above_a_share_of_the_highest_of_a_class():
    maps = np.array([[[[4.0, -1.0], [2.0, 1.0]], [[3.0, 0.5], [-2.0, 0.8]]]], np.float32)
    first, second = maps.clip(0)[..., 0], maps.clip(0)[..., 1]
    whole = np.asarray(dropped_attention(maps, 1.0))[..., 0]
    np.testing.assert_allclose(whole, (first + second) / 2)
    # What is exactly at the threshold stays: 3 of 4, and 0.75 of 1 is between 0.5 and 0.8.
    some = np.asarray(dropped_attention(maps, 0.75))[..., 0]
    np.testing.assert_allclose(some, [[[0, 2 / 2], [3.5 / 2, 0]]])


def test_attentions_share_falls_from_epoch_to_epoch_down_to_the_floor():
    layer = ProgressiveDropoutAttention(epoch_steps=10, start=3, gamma=1.0, decay=0.98, floor=0.65)
    shares = [float(layer.gamma_at(step)) for step in (0, 9, 10, 30, 210, 219, 220, 5000)]
    # As long as it is above the floor it falls once more, so it ends a little below.
    ends = 0.98**22
    assert 0.98**21 > 0.65 > ends
    assert shares == pytest.approx([1, 1, 0.98, 0.98**3, 0.98**21, 0.98**21, ends, ends])


def test_attention_is_of_a_training_that_has_begun_it():
    layer = ProgressiveDropoutAttention(epoch_steps=2, start=1, gamma=1.0, decay=1.0, floor=0.5)
    features, maps = np.ones((1, 2, 2, 3), np.float32), np.full((1, 2, 2, 2), 3, np.float32)
    assert np.asarray(layer(features, maps)).max() == 1
    for step, factor in ((0, 1), (1, 1), (2, 3), (3, 3)):
        layer.step.assign(step)
        np.testing.assert_allclose(layer(features, maps, training=True), factor * features)
        np.testing.assert_allclose(layer(features, maps, training=False), features)


@pytest.mark.slow
def test_frozen_layers_are_not_trained_and_one_that_is_not_there_is_named():
    usual = {"classes": 2, "crop_size": 64, "problem": "multi_label", "backbone": "resnet_18"}
    network = build(PatchClassifierConfig(**usual, frozen=("backbone.conv1", "backbone.block1")))
    trained = {variable.path.partition("/")[0] for variable in network.trainable_variables}
    frozen = {variable.path.partition("/")[0] for variable in network.variables} - trained
    assert "backbone.block2.unit_0.conv1" in trained
    assert frozen
    assert all(name.startswith(("backbone.conv1", "backbone.block1")) for name in frozen)
    with pytest.raises(ConfigError, match=r"frozen must be .* as backbone.conv1, .*, but is 'b2'"):
        build(PatchClassifierConfig(**usual, frozen=("b2",)))
