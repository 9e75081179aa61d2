"""The list of families."""

from __future__ import annotations

import keras

from deeplab.config.class_gate import ClassGateConfig
from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.config.efficientdet_seg import EfficientDetSegConfig
from deeplab.config.hovernet import HoverNetConfig
from deeplab.config.network import NetworkConfig
from deeplab.config.network_ensemble import NetworkEnsembleConfig
from deeplab.config.patch_classifier import PatchClassifierConfig
from deeplab.config.patch_ensemble import PatchEnsembleConfig
from deeplab.config.unet import UNetConfig
from deeplab.config.unetplusplus import UNetPlusPlusConfig
from deeplab.errors import ConfigError
from deeplab.models.class_gate import network as class_gate
from deeplab.models.deeplabv3plus.network import build
from deeplab.models.dense.autoencoder import autoencoder
from deeplab.models.dense.decode import predictor, trimming_predictor
from deeplab.models.dense.losses import semantic_loss
from deeplab.models.dense.targets import encode
from deeplab.models.efficientdet_seg import network as efficientdet_seg_network
from deeplab.models.family import Family
from deeplab.models.hovernet import losses as hovernet_losses
from deeplab.models.hovernet import network as hovernet_network
from deeplab.models.hovernet import predictor as hovernet_predictor
from deeplab.models.hovernet import targets as hovernet_targets
from deeplab.models.network_ensemble import network as network_ensemble
from deeplab.models.patch_classifier import losses as patch_losses
from deeplab.models.patch_classifier import network as patch_network
from deeplab.models.patch_classifier import predictor as patch_predictor
from deeplab.models.patch_classifier import taps as patch_taps
from deeplab.models.patch_classifier import targets as patch_targets
from deeplab.models.patch_ensemble import network as patch_ensemble
from deeplab.models.readings import reading_named
from deeplab.models.unet import network as unet_network
from deeplab.models.unetplusplus import network as unetplusplus_network


def _build_member(config: NetworkConfig) -> keras.Model:
    """Return the network of a config that is one of several in a network."""
    return family_of(config).build(config)


FAMILIES: tuple[Family, ...] = (
    Family(
        name="deeplabv3plus",
        config=DeepLabV3PlusConfig,
        needs=frozenset({"labels"}),
        reading=reading_named("deeplabv3plus"),
        build=build,
        encode=encode,
        loss=semantic_loss,
        predictor=predictor,
        trimming_predictor=trimming_predictor,
        head_layers=("image_pooling", "aspp", "decoder", "logits"),
        logit_layers=("logits",),
        companion=autoencoder,
    ),
    Family(
        name="efficientdet_seg",
        config=EfficientDetSegConfig,
        needs=frozenset({"labels"}),
        reading=reading_named("efficientdet_seg"),
        build=efficientdet_seg_network.build,
        encode=encode,
        loss=semantic_loss,
        predictor=predictor,
        companion=autoencoder,
        head_layers=("fpn", "head", "logits"),
        logit_layers=("logits",),
    ),
    Family(
        name="hovernet",
        config=HoverNetConfig,
        needs=frozenset({"labels", "instances"}),
        reading=reading_named("hovernet"),
        build=hovernet_network.build,
        encode=hovernet_targets.encode,
        loss=hovernet_losses.nuclei_loss,
        predictor=hovernet_predictor.predictor,
        trimming_predictor=hovernet_predictor.trimming_predictor,
        head_layers=("decoder", "logits"),
        logit_layers=("logits.tp",),
    ),
    Family(
        name="patch_classifier",
        config=PatchClassifierConfig,
        needs=frozenset({"labels", "classes"}),
        reading=reading_named("patch_classifier"),
        build=patch_network.build,
        encode=patch_targets.encode,
        loss=patch_losses.patch_loss,
        predictor=patch_predictor.predictor,
        over_the_edge=0.0,
        explain=patch_predictor.explain,
        taps=patch_taps.tap_layers,
        head_layers=("logits",),
        logit_layers=("logits",),
    ),
    Family(
        name="network_ensemble",
        config=NetworkEnsembleConfig,
        needs=frozenset({"labels"}),
        reading=reading_named("network_ensemble"),
        build=lambda config: network_ensemble.build(config, _build_member),
        encode=network_ensemble.encode,
        loss=semantic_loss,
        predictor=predictor,
        # Of its members, whose names begin with their number: nobody trains them together.
        head_layers=(),
        logit_layers=(),
        companion=autoencoder,
    ),
    Family(
        name="patch_ensemble",
        config=PatchEnsembleConfig,
        needs=frozenset({"labels", "classes"}),
        reading=reading_named("patch_ensemble"),
        build=lambda config: patch_ensemble.build(config, _build_member),
        encode=patch_targets.encode,
        loss=patch_losses.patch_loss,
        predictor=patch_predictor.predictor,
        over_the_edge=0.0,
        head_layers=(),
        logit_layers=(),
    ),
    Family(
        name="class_gate",
        config=ClassGateConfig,
        needs=frozenset({"labels"}),
        reading=reading_named("class_gate"),
        build=lambda config: class_gate.build(config, _build_member),
        encode=encode,
        loss=semantic_loss,
        predictor=predictor,
        head_layers=(),
        logit_layers=(),
        companion=autoencoder,
    ),
    Family(
        name="unet",
        config=UNetConfig,
        needs=frozenset({"labels"}),
        reading=reading_named("unet"),
        build=unet_network.build,
        encode=encode,
        loss=semantic_loss,
        predictor=predictor,
        trimming_predictor=trimming_predictor,
        companion=autoencoder,
        head_layers=("decoder", "logits"),
        logit_layers=("logits",),
    ),
    Family(
        name="unetplusplus",
        config=UNetPlusPlusConfig,
        needs=frozenset({"labels"}),
        reading=reading_named("unetplusplus"),
        build=unetplusplus_network.build,
        encode=encode,
        loss=semantic_loss,
        predictor=predictor,
        trimming_predictor=trimming_predictor,
        companion=autoencoder,
        head_layers=("decoder", "logits"),
        logit_layers=("logits",),
    ),
)


def family_of(config: NetworkConfig) -> Family:
    """Return the family that a config belongs to.

    Raises:
        ConfigError: none does.
    """
    for family in FAMILIES:
        if type(config) is family.config:
            return family
    raise ConfigError("model", type(config).__name__, "the config of a known family")


def family_named(name: str) -> Family:
    """Return the family of a name, as a bundle's card gives it.

    Raises:
        ConfigError: there is no such family.
    """
    for family in FAMILIES:
        if family.name == name:
            return family
    raise ConfigError("family", name, "one of " + ", ".join(f.name for f in FAMILIES))
