from pathlib import Path

import pytest

from deeplab.config.backbones import BACKBONES
from deeplab.config.channels import named_channels
from deeplab.config.classes import ClassList
from deeplab.config.families import config_from_json, config_to_json
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.skip_decoder import depths_of
from deeplab.config.train_request import TrainRequest
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.errors import ConfigError

TWO = ClassList.named(["nucleus", "fibre"])


@pytest.mark.parametrize("kind", [UNetConfig, UNetPlusPlusConfig])
def test_a_training_names_depth_attention_and_decoder(kind):
    settings = NetworkSettings(
        network="unet",
        backbone="resnet_34",
        patch_size=300,
        network_options=("depth=3", "attention=scse", "decoder_channels=64 32 16"),
    )
    config = kind.from_settings(settings, TWO)
    assert (config.label_count, config.depth, config.attention) == (3, 3, "scse")
    assert config.decoder_channels == (64, 32, 16)
    assert config.crop_size == 304


def test_a_decoder_is_as_wide_as_published_where_nothing_is_said():
    assert UNetConfig(label_count=2).decoder_channels == (256, 128, 64, 32)
    deep = UNetConfig(label_count=2, backbone="resnet_18", depth=5)
    assert deep.decoder_channels == (256, 128, 64, 32, 16)


def test_tiles_are_multiples_of_the_coarsest_cell_and_gates_look_half_a_crop_farther():
    plain = UNetConfig(label_count=2, backbone="resnet_18", depth=5)
    assert (plain.tiling.multiple, plain.tiling.extra, plain.tiling.logit_stride) == (32, 0, 1)
    gated = UNetConfig(label_count=2, backbone="resnet_18", depth=5, attention="scse")
    assert gated.tiling.reach == plain.tiling.reach + 256
    b0 = UNetConfig(label_count=2, backbone="efficientnet_b0", depth=5)
    assert b0.tiling.reach == gated.tiling.reach + 128  # kernels of 5 x 5
    atrous, all_of_it = (
        UNetConfig(label_count=2, backbone="mobilenet_v2", depth=depth) for depth in (4, 5)
    )
    assert atrous.tiling.reach == all_of_it.tiling.reach > 160


def test_channels_that_are_not_red_green_and_blue_are_dark_outside_and_taken_alike():
    rgb = UNetConfig(label_count=2, backbone="resnet_18")
    dapi = UNetConfig(label_count=2, backbone="resnet_18", channels=named_channels(("DAPI",)))
    assert (rgb.channels.outside, dapi.channels.outside) == (255, 0)
    assert len(dapi.pixels.offset) == 1
    assert dapi.pixels.scale == pytest.approx(sum(rgb.pixels.scale) / 3)
    assert dapi.pixels.offset[0] == pytest.approx(sum(rgb.pixels.offset) / 3)
    plain = UNetConfig(
        label_count=2, channels=named_channels(("a", "b")), normalisation="zero_to_one"
    )
    assert (plain.pixels.scale, plain.pixels.offset) == (pytest.approx(1 / 255), (0, 0))


def test_a_config_is_the_same_from_its_card():
    config = UNetConfig(
        label_count=2, backbone="resnet_18", channels=named_channels(("DAPI", "FITC"))
    )
    assert config_from_json("unet", config_to_json(config)) == config


def test_the_original_recipe_is_that_of_the_study():
    given = {"source": "slides", "classes": ("a",), "output_model": Path("m.zip")}
    asked = TrainRequest(**given, network="unetplusplus", recipe="original")
    assert (asked.learning_rate, asked.weight_decay, asked.ema_decay) == (3.6e-4, 1e-5, 0)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_with_maps_down_to_stride_32_serves_at_every_depth(backbone):
    limited = {"preact_resnet50": (3,), "nas_pnasnet": (), "nas_hnasnet": ()}
    depths = limited.get(backbone, (3, 4, 5))
    assert depths_of(backbone) == depths
    for depth in depths:
        config = UNetConfig(label_count=2, backbone=backbone, depth=depth)
        assert config.encoder_stride in BACKBONES[backbone].channels


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"depth": 6}, "depth must be from 3 to 5"),
        (
            {"backbone": "preact_resnet50", "depth": 5},
            "depth must be 3 for preact_resnet50, whose maps end at stride 8, but is 5",
        ),
        (
            {"backbone": "nas_pnasnet"},
            "backbone must be one with a map at stride 2, such as .*, but is 'nas_pnasnet'",
        ),
        ({"backbone": "resnet"}, "backbone must be one of efficientnet_b0, "),
        ({"backbone": "resnet_18", "depth_multiplier": 0.5}, "depth_multiplier must be 1 for"),
        ({"decoder_channels": (8, 8)}, "decoder_channels must be 4 numbers, one for each"),
        ({"decoder_channels": "8"}, "decoder_channels must be a list"),
        ({"decoder_channels": (8, 8, 8, 0)}, "decoder_channels must be from 1 to 1024"),
        (
            {"decoder_channels": (16, 16, 16, 8), "attention": "scse"},
            "decoder_channels must be from 16 to 1024",
        ),
        ({"attention": "yes"}, "attention must be none or scse"),
        ({"label_count": 3, "head": "sigmoid"}, "head must be softmax for 2 classes"),
        ({"crop_size": 250}, "crop_size must be a multiple of 16"),
        ({"normalisation": "none"}, "normalisation must be backbone or zero_to_one"),
    ],
)
def test_what_no_network_can_have_is_one_sentence(knobs, sentence):
    with pytest.raises(ConfigError, match=sentence):
        UNetConfig(**{"label_count": 2} | knobs)
