from dataclasses import dataclass
from pathlib import Path

import pytest

from deeplab.config.classes import ClassList
from deeplab.config.families import network_config, options_of
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError

CLASSES = ClassList.named(["glomerulus"])


def request(**knobs: object) -> TrainRequest:
    return TrainRequest(source="slides", classes=("glomerulus",), output_model=Path("m"), **knobs)


@pytest.mark.parametrize(
    ("knobs", "crop_size"),
    [
        ({"patch_size": 400}, 401),
        ({"patch_size": 513}, 513),
        ({"patch_size": 520, "output_stride": 32}, 545),
        ({"patch_size": 520, "output_stride": 8}, 529),
        # Its coarsest map has stride 32, though its last has 8.
        ({"patch_size": 520, "output_stride": 8, "backbone": "nas_hnasnet"}, 545),
    ],
)
def test_the_cells_of_every_map_fit_the_crop(knobs: dict[str, object], crop_size: int):
    assert network_config(request(**knobs), CLASSES).crop_size == crop_size


def test_a_network_has_the_knobs_of_the_request():
    config = network_config(
        request(backbone="nas_pnasnet", depth_multiplier=0.5, drop_path_keep_prob=0.8), CLASSES
    )
    assert (config.backbone, config.depth_multiplier) == ("nas_pnasnet", 0.5)
    assert config.drop_path_keep_prob == 0.8


def test_options_hold_over_the_fields():
    options = (
        "dropout=0.2",
        "multi_grid = 1 2 4",
        "decoder_output_stride=none",
        "backbone=xception_41",
    )
    config = network_config(request(network_options=options, backbone="nas_pnasnet"), CLASSES)
    assert (config.dropout, config.multi_grid, config.backbone) == (0.2, (1, 2, 4), "xception_41")
    assert config.decoder_output_stride is None
    assert (
        network_config(request(network_options=("atrous_rates=none",)), CLASSES).atrous_rates == ()
    )


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("deeplabv3plus", ("dropout=0.2", "atrous_rates=none", "decoder_output_stride=none")),
        ("unet", ("depth=3", "decoder_channels=16 8 8")),
        ("hovernet", ("decoder_width=8",)),
        ("efficientdet_seg", ()),
    ],
)
def test_the_options_of_a_config_ask_for_its_network(network: str, options: tuple[str, ...]):
    asked = request(network=network, network_options=options)
    config = network_config(asked, CLASSES)
    told = tuple(f"{name}={text}" for name, text in options_of(config).items())
    again = request(network=network, network_options=told)
    assert network_config(again, CLASSES) == config


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"network": "unet9"}, "network must be one of deeplabv3plus.*, but is 'unet9'"),
        ({"backbone": "nas_hnasnet"}, "output_stride must be 8 for nas_hnasnet, but is 16"),
        (
            {"network_options": ("wings=2",)},
            "network_options must be name=value with a knob of deeplabv3plus: aspp_filters, .*, "
            "but is 'wings=2'",
        ),
        ({"network_options": ("dropout",)}, "must be name=value with a knob .*, but is 'dropout'"),
        ({"network_options": ("label_count=3",)}, "with a knob of .*, but is 'label_count=3'"),
        ({"network_options": ("crop_size=65",)}, "with a knob of .*, but is 'crop_size=65'"),
        (
            {"network_options": ("dropout=0", "dropout=0.1")},
            "network_options must be the only one that gives dropout, but is 'dropout=0.1'",
        ),
        ({"network_options": ("dropout=a",)}, "dropout must be a number, but is 'a'"),
        ({"network_options": ("dropout=nan",)}, "dropout must be a number, but is 'nan'"),
        ({"network_options": ("dropout=2",)}, "dropout must be from 0 to 0.9, but is 2.0"),
        (
            {"network_options": ("low_level_filters=4.5",)},
            "low_level_filters must be a whole number, but is '4.5'",
        ),
        (
            {"network_options": ("low_level_filters=" + "9" * 5000,)},
            "low_level_filters must be a whole number",
        ),
        ({"network_options": ("aspp_merge=sum",)}, "aspp_merge must be project or concat"),
    ],
)
def test_a_network_that_cannot_be_is_refused_with_the_request(
    knobs: dict[str, object], sentence: str
):
    with pytest.raises(ConfigError, match=sentence):
        request(**knobs)


@dataclass(frozen=True, kw_only=True)
class Small:
    """A network of few knobs."""

    backbone: str
    sure: bool = False


def test_a_setting_that_a_network_has_not_must_be_left_away():
    settings = NetworkSettings(network_options=("sure=true",), patch_size=300)
    assert settings.knobs(Small, told=()) == {"backbone": "mobilenet_v2", "sure": True}
    with pytest.raises(ConfigError, match="sure must be true or false, but is 'perhaps'"):
        NetworkSettings(network_options=("sure=perhaps",)).knobs(Small, told=())
    with pytest.raises(ConfigError, match="aspp_filters must be left away: the network .* none"):
        NetworkSettings(aspp_filters=8).knobs(Small, told=())
