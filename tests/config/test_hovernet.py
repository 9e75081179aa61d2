import dataclasses
from pathlib import Path

import pytest

from deeplab.config.classes import ClassList
from deeplab.config.families import network_config
from deeplab.config.hovernet import FORMS, LIGHT_BACKBONES, PREACT, HoverNetConfig
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError

TYPES = ClassList.named(["tumour", "lymphocyte", "stroma"])


def published(mode: str, type_count: int) -> HoverNetConfig:
    crop_size = FORMS[mode].crop_size
    return HoverNetConfig(type_count=type_count, mode=mode, backbone=PREACT, crop_size=crop_size)


@pytest.mark.parametrize(("mode", "read", "answered"), [("original", 270, 80), ("fast", 256, 164)])
def test_the_published_modes_read_and_answer_as_published(mode, read, answered):
    config = published(mode, 5)
    assert config.tiling.accepts(read)
    assert read - 2 * config.margin == answered
    # An object of the usual size is seen whole where its middle is answered.
    assert config.tiling.halo - config.margin >= 32


def test_a_single_class_is_that_of_all_nuclei():
    settings = NetworkSettings(network="hovernet", patch_size=250)
    alone = HoverNetConfig.from_settings(settings, ClassList.named(["nucleus"]))
    assert (alone.type_count, alone.class_count, alone.crop_size) == (0, 1, 256)
    assert [name for name, _ in alone.branches] == ["np", "hv"]
    typed = HoverNetConfig.from_settings(settings, TYPES)
    assert typed.branches == (("np", 2), ("hv", 2), ("tp", 4))


@pytest.mark.parametrize(
    ("words", "side"),
    [
        ({}, 256),
        ({"backbone": PREACT}, 256),
        ({"backbone": PREACT, "network_options": ("mode=original",)}, 270),
        ({"network": "deeplabv3plus"}, 512),
        ({"patch_size": 100}, 100),
    ],
)
def test_patches_are_as_large_as_suits_the_network_where_nothing_is_asked(words, side):
    given = {"source": "slides", "classes": ("nucleus",), "output_model": Path("m.zip")}
    request = TrainRequest(**given | {"network": "hovernet"} | words)
    assert request.patch_size == side
    assert request == TrainRequest(**given | {"network": "hovernet"} | words | {"patch_size": side})
    # The config rounds it up, by itself, too.
    settings = NetworkSettings(**{"network": "hovernet"} | words)
    config = network_config(settings, ClassList.named(["nucleus"]))
    assert config == network_config(request, ClassList.named(["nucleus"]))
    assert side <= config.crop_size <= side + 16


def test_the_published_encoder_means_a_published_decoder():
    settings = NetworkSettings(network="hovernet", backbone=PREACT, patch_size=270)
    assert HoverNetConfig.from_settings(settings, TYPES) == published("fast", 3).__class__(
        type_count=3, mode="fast", backbone=PREACT, crop_size=272
    )
    original = dataclasses.replace(settings, network_options=("mode=original",))
    assert HoverNetConfig.from_settings(original, TYPES) == published("original", 3)


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"type_count": 255}, "type_count must be from 0 to 254"),
        ({"type_count": True}, "type_count must be a whole number"),
        ({"mode": "slow"}, "mode must be original, fast or light"),
        ({"mode": "fast"}, "backbone must be preact_resnet50, but is 'mobilenet_v2'"),
        ({"backbone": PREACT}, "backbone must be one of efficientnet_b0, efficientnet_b1"),
        ({"backbone": "nas_pnasnet"}, "backbone must be one of efficientnet_b0"),
        ({"backbone": "resnet_18", "depth_multiplier": 0.5}, "depth_multiplier must be 1 for"),
        ({"decoder_width": 4000}, "decoder_width must be from 8 to 1024"),
        ({"decoder_width": 90}, "decoder_width must be a multiple of 4"),
        ({"crop_size": 250}, "crop_size must be a multiple of 16"),
        ({"edge_kernel": 8}, "edge_kernel must be odd"),
        ({"convention": "new"}, "convention must be local or original"),
        ({"gradients": "no"}, "gradients must be same_axis or cross_axis"),
    ],
)
def test_what_no_network_can_have_is_one_sentence(knobs, sentence):
    with pytest.raises(ConfigError, match=sentence):
        HoverNetConfig(**{"type_count": 3} | knobs)


def test_rows_with_maps_at_four_strides_serve_a_light_network():
    assert {"efficientnet_lite0", "mobilenet_v2", "resnet_18", "resnet_34"} <= set(LIGHT_BACKBONES)
    assert PREACT not in LIGHT_BACKBONES
