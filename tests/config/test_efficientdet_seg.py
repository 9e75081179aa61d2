from pathlib import Path

import pytest

from deeplab.config.channels import named_channels
from deeplab.config.classes import ClassList
from deeplab.config.efficientdet_seg import SIZES, EfficientDetSegConfig
from deeplab.config.families import config_from_json, config_to_json
from deeplab.config.network_settings import NetworkSettings
from deeplab.config.train_request import TrainRequest
from deeplab.errors import ConfigError
from deeplab.training.schedule import schedule_of

TUMOUR = ClassList.named(["tumour"])


def asked(*options: str, **settings: object) -> EfficientDetSegConfig:
    words = NetworkSettings(network="efficientdet_seg", network_options=options, **settings)
    return EfficientDetSegConfig.from_settings(words, TUMOUR)


def test_every_size_has_its_backbone_and_its_pyramid():
    assert list(SIZES) == [f"d{number}" for number in range(8)]
    assert [facts.backbone for facts in SIZES.values()] == [
        f"efficientnet_b{number}" for number in range(8)
    ]
    config = asked("size=d4")
    assert (config.fpn_filters, config.fpn_cells) == (224, 7)
    assert config.backbone == "efficientnet_b4"


def test_a_training_names_size_pyramid_and_fusion():
    config = asked("size=d1", "fpn_filters=32", "min_level=3", "fusion=linear", patch_size=512)
    assert (config.fpn_filters, config.fpn_cells, config.min_level) == (32, 4, 3)
    assert (config.fusion, config.crop_size, config.label_count) == ("linear", 512, 2)
    assert asked().crop_size == 1024


@pytest.mark.parametrize(
    ("options", "settings", "problem"),
    [
        ((), {"patch_size": 1000}, "patch_size must be a multiple of 128 for EfficientDet-D0"),
        ((), {"backbone": "resnet_50"}, "backbone must be left away"),
        (("size=d8",), {}, "size must be "),
        (("min_level=4",), {}, "min_level must be"),
        (("fusion=sum",), {}, "fusion must be linear or relu"),
        (("fpn_cells=-1",), {}, "fpn_cells must be"),
        (("depth=3",), {}, "network_options must be name=value with a knob of efficientdet_seg"),
    ],
)
def test_what_it_has_not_is_one_sentence(options, settings, problem):
    with pytest.raises(ConfigError, match=problem):
        asked(*options, **settings)


def test_tiles_are_multiples_of_the_coarsest_cell():
    tiling = EfficientDetSegConfig(label_count=2, crop_size=512).tiling
    assert (tiling.multiple, tiling.extra, tiling.logit_stride) == (128, 0, 1)
    assert tiling.halo == 128 * (3 + 2) + 256
    deeper = EfficientDetSegConfig(label_count=2, crop_size=512, fpn_cells=6).tiling
    assert deeper.halo == tiling.halo + 3 * 128
    assert tiling.accepts(tiling.side_with(tiling.halo, most=8193))


def test_a_config_is_the_same_from_its_card():
    config = EfficientDetSegConfig(label_count=3, size="d3", channels=named_channels(("DAPI",)))
    assert config_from_json("efficientdet_seg", config_to_json(config)) == config
    assert "of DAPI" in config.describe()
    assert len(config.pixels.offset) == 1


def test_surf_learns_by_adam_at_one_rate():
    asked = TrainRequest(
        source="slides",
        output_model=Path("m.zip"),
        classes=("a",),
        network="efficientdet_seg",
        recipe="original",
        steps=1000,
    )
    assert (asked.optimizer, asked.weight_decay, asked.dice_weight) == ("adamw", 0, 0)
    rates = [float(schedule_of(asked).rate(step)) for step in (0, 500, 999)]
    assert rates == pytest.approx([1e-3] * 3)
