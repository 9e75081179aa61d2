"""Recipes: what their authors trained with, where nothing else is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeplab.config.classes import ClassList
from deeplab.config.families import network_config
from deeplab.config.train_request import TrainRequest
from deeplab.data.augment import Augmentation
from deeplab.errors import ConfigError
from deeplab.training.schedule import schedule_of

GIVEN = {"source": "slides", "classes": ("a", "b"), "output_model": Path("m.zip")}


def request(**settings):
    return TrainRequest(**GIVEN | settings)


def test_hovernet_learns_by_adam_in_two_phases_with_a_fall_in_the_middle_of_each():
    asked = request(network="hovernet", recipe="original", steps=1000)
    assert (asked.optimizer, asked.weight_decay, asked.clip_norm) == ("adamw", 0, 0)
    assert (asked.freeze_encoder_steps, asked.ema_decay, asked.dice_weight) == (500, 0, 1)
    rates = [float(schedule_of(asked).rate(step)) for step in (0, 249, 250, 499, 500, 750, 999)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-4, 1e-5, 1e-5])


def test_deeplab_learns_by_momentum_with_a_poly_policy():
    asked = request(recipe="original", steps=3000)
    assert (asked.optimizer, asked.learning_policy, asked.learning_rate) == (
        "momentum",
        "poly",
        7e-4,
    )
    assert (asked.bias_gradient_multiplier, asked.last_layer_gradient_multiplier) == (2, 10)


def test_dedl_trains_a_companion_with_a_rate_that_falls_to_nothing():
    asked = request(recipe="dedl", classes=("fibre",), steps=1000)
    assert (asked.companion, asked.companion_learning_rate) == ("autoencoder", 1e-3)
    assert asked.class_weights == (0.1479139275021023, 0.8520860724978977)
    assert (asked.optimizer, asked.weight_decay, asked.batch_size) == ("adamw", 1e-5, 16)
    assert (asked.dice_weight, asked.clip_norm, asked.ema_decay) == (0, 0, 0)
    rates = [float(schedule_of(asked).rate(step)) for step in (0, 500, 1000)]
    assert rates == pytest.approx([3.6e-4, 1.8e-4, 0], abs=1e-9)


def test_dedl_turns_patches_by_three_degrees_and_changes_no_colour():
    asked = request(recipe="dedl", network="deeplabv3plus")
    warps = [Augmentation(asked).warp(65, np.random.default_rng(n)) for n in range(200)]
    angles = np.degrees([warp.angle for warp in warps])
    assert 2.5 < np.abs(angles).max() <= 3
    assert {warp.scale for warp in warps} == {1}
    assert len({warp.orientation for warp in warps}) == 8
    rgb = np.random.default_rng(0).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    recoloured = Augmentation(asked).recolour(rgb, np.random.default_rng(0))
    np.testing.assert_array_equal(recoloured, rgb)


def test_dedl_weighs_one_class_and_leaves_others_alike():
    assert request(recipe="dedl").class_weights == ()
    assert request(recipe="dedl", class_weights=(1, 2, 3)).class_weights == (1, 2, 3)


def test_wsss_trains_with_attention_from_the_fourth_of_twenty_epochs():
    patches = {"network": "patch_classifier", "recipe": "wsss", "steps": 4000}
    asked = request(**patches, backbone="resnet38d")
    rates = [float(schedule_of(asked).rate(step)) for step in (0, 2000, 4000)]
    assert rates == pytest.approx([0.01, 0.01 * 0.5**0.9, 0], abs=1e-9)
    assert (asked.batch_size, asked.weight_decay, asked.batch_norm) == (20, 5e-4, False)
    assert asked.last_layer_gradient_multiplier == 10
    config = network_config(asked, ClassList.named(asked.classes))
    assert (config.attention_epoch, config.attention_start) == (200, 3)
    assert (config.problem, config.dropout) == ("multi_label", 0.5)
    assert config.frozen == ("backbone.conv1a", "backbone.b2")
    given = ("attention_epoch=50", "attention_floor=0.5")
    other = request(**patches, backbone="resnet_18", network_options=given)
    assert replace(other, seed=3).network_options == other.network_options
    config = network_config(other, ClassList.named(other.classes))
    assert (config.attention_epoch, config.attention_floor) == (50, 0.5)
    assert (config.problem, config.frozen) == ("multi_label", ())


def test_what_is_said_holds_over_the_recipe_and_by_default_nothing_changes():
    asked = request(network="hovernet", recipe="original", learning_rate=5e-4)
    assert (asked.learning_rate, asked.learning_policy) == (5e-4, "step")
    plain = request(network="hovernet")
    assert (plain.optimizer, plain.learning_policy, plain.ema_decay) == ("adamw", "cosine", 0.999)
    assert plain.freeze_encoder_steps == 0


def test_a_changed_copy_keeps_the_recipe():
    asked = request(network="hovernet", recipe="original", learning_rate=5e-4)
    assert replace(asked, seed=3).learning_rate == 5e-4
    assert replace(asked, seed=3).ema_decay == 0


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"recipe": "best"}, "recipe must be one of default, original, dedl, wsss, but is 'best'"),
        (
            {"recipe": "wsss"},
            "recipe must be default, original or dedl for a network that does not",
        ),
        ({"freeze_encoder_steps": 9, "steps": 9}, "freeze_encoder_steps must be below the number"),
        (
            {"initial_encoder": Path("a.pth"), "initial_model": Path("b.zip")},
            "initial_encoder must be left away where there is an initial model",
        ),
        ({"untyped_layer": "a"}, "untyped_layer must be a layer of its own, not a class"),
        (
            {"untyped_layer": "any", "classes": ("a",)},
            "untyped_layer must be empty: all objects are a; set aliases",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(changed, sentence):
    with pytest.raises(ConfigError, match=sentence):
        request(**changed)
