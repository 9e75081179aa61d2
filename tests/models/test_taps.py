"""Layers of which pseudo masks are made are those through which all of a network passes."""

import dataclasses

import pytest

from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.errors import ConfigError
from deeplab.models.patch_classifier.network import build
from deeplab.models.patch_classifier.taps import tap_layers

SMALL = {"classes": 2, "crop_size": 64, "problem": "multi_label"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "side", "sides"),
    [
        ("resnet_18", 64, (8, 4, 2)),
        ("mobilenet_v2", 64, (8, 4, 2)),
        ("swin_tiny_window7", 224, (28, 14, 7)),
        ("convnext_tiny", 64, (8, 4, 2)),
    ],
)
def test_they_are_of_the_three_coarsest_sizes(backbone, side, sides):
    config = PatchClassifierConfig(**SMALL | {"crop_size": side}, backbone=backbone)
    network = build(config)
    layers = tap_layers(config, network)
    assert list(layers)[-1] == "features"
    assert_named(config, network, layers)
    found = [network.get_layer(name).output.shape[1] for name in layers.values()]
    assert tuple(found) == sides


@pytest.mark.slow
def test_of_a_resnet_they_are_the_sums_of_its_blocks_and_the_card_may_name_others():
    config = PatchClassifierConfig(**SMALL, backbone="resnet_18", attention_epoch=3)
    network = build(config)
    assert tap_layers(config, network) == {
        "block2.unit_1": "backbone.block2.unit_1.act",
        "block3.unit_1": "backbone.block3.unit_1.act",
        "features": "features",
    }
    other = dataclasses.replace(config, taps=("backbone.block1.unit_0.act",))
    assert tap_layers(other, network) == {"block1.unit_0": "backbone.block1.unit_0.act"}
    wrong = dataclasses.replace(config, taps=("backbone.block9",))
    with pytest.raises(ConfigError, match=r"taps must be a layer .* with a map, as .*block3"):
        tap_layers(wrong, network)


@pytest.mark.slow
def test_a_vision_transformer_has_one():
    config = PatchClassifierConfig(**SMALL | {"crop_size": 64}, backbone="vit_tiny_patch16")
    network = build(config)
    assert tap_layers(config, network) == {"seen": "seen"}
    assert_named(config, network, {"seen": "seen"})


def assert_named(config, network, layers):
    """Assert that a card which names the layers leads to the same ones."""
    named = dataclasses.replace(config, taps=tuple(layers.values()))
    assert tap_layers(named, network) == layers
