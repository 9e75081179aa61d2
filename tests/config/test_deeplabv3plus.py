import dataclasses
import json

import pytest

from deeplab.config.channels import RGB
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.families import config_from_json, config_to_json
from deeplab.errors import ConfigError
from deeplab.geometry.tiling import Tiling

WRONG = [
    ({"label_count": 1}, "label_count must be from 2 to 255, but is 1"),
    ({"label_count": 2.0}, "label_count must be a whole number, but is 2.0"),
    ({"backbone": "vgg"}, "backbone must be one of efficientnet_b0, .*, but is 'vgg'"),
    ({"depth_multiplier": 9.0}, "depth_multiplier must be from 0.1 to 4, but is 9.0"),
    ({"backbone": "xception_65", "depth_multiplier": 0.5}, "must be 1 for xception_65"),
    ({"atrous_rates": (6, 0)}, "atrous_rates must be from 1 to 96, but is 0"),
    ({"atrous_rates": tuple(range(1, 10))}, "atrous_rates must be at most 8 rates"),
    ({"channel_multiple": 0}, "channel_multiple must be from 1 to 64, but is 0"),
    ({"output_stride": 4}, "output_stride must be 8, 16 or 32, but is 4"),
    ({"backbone": "nas_hnasnet"}, "output_stride must be 8 for nas_hnasnet, but is 16"),
    ({"decoder_output_stride": 2}, "decoder_output_stride must be 4, 8 or None, but is 2"),
    ({"multi_grid": (1, 2, 4)}, "multi_grid must be empty for mobilenet_v2"),
    ({"backbone": "xception_65", "multi_grid": (1, 2)}, "multi_grid must be 3 rates, or empty"),
    ({"backbone": "resnet_v1_18", "multi_grid": (1, 2, 4)}, "multi_grid must be 2 rates, or empty"),
    ({"crop_size": 32}, "crop_size must be from 33 to 4097, but is 32"),
    ({"image_pooling": "max"}, "image_pooling must be branch, hard_gate, gate or none"),
    ({"pooling_crop_size": 769}, "pooling_crop_size must be from 33 to 513, but is 769"),
    ({"pooling_strides": (4,)}, "pooling_strides must be two: down and across"),
    ({"pooling_strides": (4, 0)}, "pooling_strides must be from 1 to 512, but is 0"),
    ({"aspp_merge": "sum"}, "aspp_merge must be project or concat, but is 'sum'"),
    ({"decoder_merge": "max"}, "decoder_merge must be concat or sum, but is 'max'"),
    ({"decoder_output": "labels"}, "decoder_output must be features or logits"),
    ({"decoder_output": "logits"}, "decoder_filters must be 2, one a label, where they are the"),
    (
        {"decoder_output": "logits", "decoder_output_stride": None},
        "decoder_output must be features where there is no decoder",
    ),
    ({"drop_path_keep_prob": 0.0}, "drop_path_keep_prob must be from 0.1 to 1, but is 0.0"),
    ({"aspp_filters": 10**9}, "aspp_filters must be from 1 to 4096"),
    ({"dropout": float("nan")}, "dropout must be from 0 to 0.9, but is nan"),
    ({"batch_norm_decay": 1.0}, "batch_norm_decay must be from 0 to 0.99999"),
]


@pytest.mark.parametrize(("knobs", "sentence"), WRONG)
def test_a_knob_it_cannot_have_is_named(knobs: dict[str, object], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        DeepLabV3PlusConfig(**{"label_count": 2, **knobs})


@pytest.mark.parametrize(("knobs", "sentence"), WRONG)
def test_a_knob_read_from_json_is_checked_as_well(knobs: dict[str, object], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        config_from_json("deeplabv3plus", json.loads(json.dumps({"label_count": 2, **knobs})))


def test_json_and_back_is_the_same_config():
    config = DeepLabV3PlusConfig(
        label_count=7,
        backbone="xception_65",
        atrous_rates=(12, 24, 36),
        output_stride=8,
        decoder_output_stride=None,
        multi_grid=(1, 2, 4),
        crop_size=401,
        image_pooling="gate",
        pooling_crop_size=257,
        pooling_strides=(4, 5),
        dropout=0.2,
    )
    knobs = json.loads(json.dumps(config_to_json(config)))
    assert set(knobs) == {field.name for field in dataclasses.fields(config)} - {"channels"}
    assert config_from_json("deeplabv3plus", knobs) == config


@pytest.mark.parametrize(
    ("family", "knobs", "sentence"),
    [
        ("unet9", {}, "family must be one of deeplabv3plus, .*, but is 'unet9'"),
        ("deeplabv3plus", {"label_count": 2, "wings": 2}, "config must be a knob of .*'wings'"),
        ("deeplabv3plus", {}, "config must be given, but is 'label_count'"),
        ("deeplabv3plus", {"label_count": 2, "dropout": "a"}, "values of the right types"),
        ("deeplabv3plus", {"label_count": 2, "atrous_rates": 6}, "atrous_rates must be a list"),
    ],
)
def test_json_of_something_else_is_refused(family: str, knobs: dict[str, object], sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        config_from_json(family, knobs)


def test_cells_and_tiling_follow_from_the_knobs():
    config = DeepLabV3PlusConfig(label_count=2)
    assert config.pooling_cells == 33
    assert config.tiling == Tiling(multiple=16, extra=1, reach=288, logit_stride=4, decoder_reach=8)
    plain = dataclasses.replace(config, output_stride=8, decoder_output_stride=None)
    assert (plain.pooling_cells, plain.tiling.logit_stride) == (65, 8)
    assert plain.tiling.decoder_reach == 0
    even = dataclasses.replace(config, crop_size=512, pooling_crop_size=256)
    assert (even.crop_cells, even.pooling_cells, even.tiling.multiple) == (32, 16, 16)
    assert dataclasses.replace(config, output_stride=32).tiling.multiple == 32
    inner = DeepLabV3PlusConfig(label_count=2, backbone="nas_hnasnet", output_stride=8)
    assert (inner.tiling.multiple, inner.tiling.logit_stride) == (32, 4)
    assert (config.class_count, config.channels) == (1, RGB)
