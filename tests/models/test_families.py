import dataclasses
from pathlib import Path

import pytest

from deeplab.config.families import CONFIGS
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.network import NetworkConfig
from deeplab.errors import ConfigError
from deeplab.models.family import Family
from deeplab.models.registry import FAMILIES, family_named, family_of
from tests.bundles.tiny_models import TINY
from tests.models import family_contract as contract

# With every option that the original has: gates, strided pooling, a sum, logits from the decoder.
LIGHT = dataclasses.replace(
    TINY,
    backbone="mobilenet_v3_small_seg",
    depth_multiplier=0.35,
    output_stride=32,
    atrous_rates=(),
    decoder_output_stride=8,
    image_pooling="hard_gate",
    pooling_crop_size=33,
    pooling_strides=(1, 2),
    aspp_merge="concat",
    decoder_merge="sum",
    decoder_filters=3,
    decoder_output="logits",
)
NUCLEI = HoverNetConfig(type_count=2, depth_multiplier=0.1, decoder_width=16, crop_size=64)
TINY_CONFIGS: dict[str, tuple[NetworkConfig, ...]] = {
    "deeplabv3plus": (TINY, LIGHT),
    "hovernet": (NUCLEI,),
}
OUTPUTS = {
    "deeplabv3plus": {"semantic_logits": 3},
    "hovernet": {"np": 2, "hv": 2, "tp": 3},
}
EACH = pytest.mark.parametrize(
    ("family", "config"),
    [(family, config) for family in FAMILIES for config in TINY_CONFIGS[family.name]],
    ids=lambda v: v.name if isinstance(v, Family) else v.backbone,
)


def test_families_and_configs_name_each_other():
    assert {family.name: family.config for family in FAMILIES} == dict(CONFIGS)
    assert family_of(TINY) is family_named("deeplabv3plus")
    with pytest.raises(
        ConfigError, match="family must be one of deeplabv3plus, hovernet, but is 'unet9'"
    ):
        family_named("unet9")


@EACH
def test_network_takes_tiles_of_any_size(family: Family, config: NetworkConfig):
    contract.check_network_takes_tiles_of_any_size(family, config, OUTPUTS[family.name])


@EACH
def test_gradient_steps_lower_the_loss(family: Family, config: NetworkConfig):
    contract.check_gradient_steps_lower_the_loss(family, config)


@EACH
def test_a_saved_network_gives_equal_maps(family: Family, config: NetworkConfig, tmp_path: Path):
    contract.check_a_saved_network_gives_equal_maps(family, config, tmp_path)


@EACH
def test_predictor_says_what_the_maps_say(family: Family, config: NetworkConfig):
    contract.PREDICTORS[family.answer](family, config)
