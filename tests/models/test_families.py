import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from deeplab.config.class_gate import ClassGateConfig
from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.config.families import CONFIGS
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.network import NetworkConfig
from deeplab.config.network_ensemble import NetworkEnsembleConfig
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.patch_ensemble import PatchEnsembleConfig
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
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
WIDER = dataclasses.replace(TINY, depth_multiplier=0.15, aspp_filters=12)
NUCLEI = HoverNetConfig(type_count=2, depth_multiplier=0.1, decoder_width=16, crop_size=64)
PATCHES = PatchClassifierConfig(
    classes=2, crop_size=64, problem="multi_label", backbone="mobilenet_v2", depth_multiplier=0.35
)
ATTENDED = dataclasses.replace(PATCHES, attention_epoch=5, dropout=0.3)
FIELDS = EfficientDetSegConfig(label_count=3, fpn_filters=8, fpn_cells=1, crop_size=128)
SKIPS = {"label_count": 3, "depth_multiplier": 0.1, "crop_size": 64}
GATED = {"depth": 3, "decoder_channels": (16, 16, 16), "attention": "scse"}
TINY_CONFIGS: dict[str, tuple[NetworkConfig, ...]] = {
    "deeplabv3plus": (TINY, LIGHT),
    "efficientdet_seg": (FIELDS,),
    "hovernet": (NUCLEI,),
    "patch_classifier": (PATCHES, ATTENDED),
    "network_ensemble": (NetworkEnsembleConfig(members=(TINY, WIDER)),),
    "patch_ensemble": (
        PatchEnsembleConfig(members=(PATCHES, ATTENDED)),
        PatchEnsembleConfig(members=(dataclasses.replace(PATCHES, problem="multi_class"),) * 2),
    ),
    "class_gate": (ClassGateConfig(segmenter=TINY, classifier=PATCHES),),
    "unet": (
        UNetConfig(**SKIPS, decoder_channels=(16, 8, 8, 8)),
        UNetConfig(**SKIPS | {"label_count": 2}, **GATED, head="sigmoid"),
    ),
    "unetplusplus": (
        UNetPlusPlusConfig(**SKIPS, decoder_channels=(16, 8, 8, 8)),
        UNetPlusPlusConfig(**SKIPS, **GATED),
    ),
}
OUTPUTS = {
    "deeplabv3plus": {"semantic_logits": 3},
    "efficientdet_seg": {"semantic_logits": 3},
    "hovernet": {"np": 2, "hv": 2, "tp": 3},
    "patch_classifier": {"classes": 2},
    "network_ensemble": {"semantic_logits": 3},
    "patch_ensemble": {"classes": 2},
    "class_gate": {"semantic_logits": 3},
    "unet": {"semantic_logits": 3},
    "unetplusplus": {"semantic_logits": 3},
}


def nuclei_maps(targets):
    maps = {"np": (targets["np"] == 1).astype(np.float32), "hv": targets["hv"]}
    return maps | ({"tp": targets["tp"]} if "tp" in targets else {})


def uneven(maps):
    """The maps as a network would give them: soft, and somewhat wrong everywhere."""
    random = np.random.default_rng(0)

    def wrong(values):
        waves = cv2.GaussianBlur(random.normal(size=values.shape).astype(np.float32), (0, 0), 2)
        return cv2.GaussianBlur(values, (0, 0), 1) + 0.1 * waves / waves.std()

    return maps | {"np": np.clip(wrong(maps["np"]), 0, 1), "hv": wrong(maps["hv"])}


# Of families that answer with objects: from targets to the maps of a network that makes no error.
PERFECT = {"hovernet": nuclei_maps}
OF_OBJECTS = pytest.mark.parametrize(
    ("family", "config"),
    [
        (family, config)
        for family in FAMILIES
        if family.answer == "objects"
        for config in (
            *TINY_CONFIGS[family.name],
            HoverNetConfig(type_count=0, mode="fast", backbone="preact_resnet50", crop_size=256),
            HoverNetConfig(
                type_count=5, mode="original", backbone="preact_resnet50", crop_size=270
            ),
        )
    ],
    ids=lambda v: v.name if isinstance(v, Family) else v.mode,
)
# Whose smallest network takes seconds, for its backbone has one width.
LARGE = {"efficientdet_seg"}


def each(family: Family, config: NetworkConfig):
    marks = [pytest.mark.slow] if family.name in LARGE else []
    return pytest.param(family, config, marks=marks)


EACH = pytest.mark.parametrize(
    ("family", "config"),
    [each(family, config) for family in FAMILIES for config in TINY_CONFIGS[family.name]],
    ids=lambda v: v.name if isinstance(v, Family) else v.backbone,
)


def test_families_and_configs_name_each_other():
    assert {family.name: family.config for family in FAMILIES} == dict(CONFIGS)
    assert family_of(TINY) is family_named("deeplabv3plus")
    with pytest.raises(
        ConfigError,
        match="one of deeplabv3plus, efficientdet_seg, hovernet, patch_classifier, network_ensemble, patch_ensemble, class_gate, unet, unetplusplus, but",
    ):
        family_named("unet9")


@EACH
def test_network_takes_the_tiles_that_it_says(family: Family, config: NetworkConfig):
    outputs = OUTPUTS[family.name]
    if family.answer == "labels":
        outputs = dict.fromkeys(outputs, config.label_count)
    contract.TAKES[family.answer](family, config, outputs)


@EACH
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_gradient_steps_lower_the_loss(family: Family, config: NetworkConfig, precision: str):
    contract.check_gradient_steps_lower_the_loss(family, config, precision)


@EACH
def test_a_saved_network_gives_equal_maps(family: Family, config: NetworkConfig, tmp_path: Path):
    contract.check_a_saved_network_gives_equal_maps(family, config, tmp_path)


@pytest.mark.parametrize(
    ("family", "config"),
    [each(f, config) for f in FAMILIES if f.companion for config in TINY_CONFIGS[f.name]],
)
def test_a_companion_leaves_the_network_as_it_is(family: Family, config: NetworkConfig):
    contract.check_a_companion_leaves_the_network_as_it_is(family, config)


def test_networks_that_give_every_pixel_a_class_have_a_companion():
    by_answer = {(family.answer, family.companion is not None) for family in FAMILIES}
    assert ("labels", False) not in by_answer
    assert ("objects", True) not in by_answer


@EACH
def test_predictor_says_what_the_maps_say(family: Family, config: NetworkConfig):
    contract.PREDICTORS[family.answer](family, config)


TRIMMED = [
    pytest.param(family, config, id=f"{family.name}-{config.backbone}")
    for family in FAMILIES
    for config in TINY_CONFIGS[family.name]
    if config.tiling.decoder_reach
]


@pytest.mark.parametrize(("family", "config"), TRIMMED)
def test_a_decoder_runs_on_the_middle_of_a_tile(family: Family, config: NetworkConfig):
    contract.check_the_middle_is_that_of_the_whole(family, config)


def test_families_whose_decoders_can_be_trimmed_say_so():
    reach = {
        family.name: {bool(config.tiling.decoder_reach) for config in TINY_CONFIGS[family.name]}
        for family in FAMILIES
    }
    assert {name for name, those in reach.items() if True in those} == {
        family.name for family in FAMILIES if family.trimming_predictor
    }
    # Gates look at means over windows.
    assert reach["unet"] == reach["unetplusplus"] == {True, False}


@OF_OBJECTS
def test_perfect_maps_give_the_objects_back(family: Family, config: NetworkConfig):
    contract.check_perfect_maps_give_the_objects_back(family, config, PERFECT[family.name])


@OF_OBJECTS
@pytest.mark.slow
def test_objects_do_not_depend_on_tiles(family: Family, config: NetworkConfig):
    contract.check_objects_do_not_depend_on_tiles(family, config, PERFECT[family.name], uneven)
