"""HoVer-Net (Graham et al. 2019, arXiv:1812.06499): one encoder and a decoder for each question.

np: is a pixel of a nucleus; hv: how far it lies from the middle of its nucleus, across and down;
tp: of which type the nucleus is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import keras
from keras import layers

from deeplab.config.backbones import BACKBONES
from deeplab.config.hovernet import LIGHT_STRIDE, HoverNetConfig, Mode
from deeplab.models.backbones.preact_resnet import preact_resnet50
from deeplab.models.backbones.pyramid import BackboneOptions
from deeplab.models.backbones.table import BUILD
from deeplab.models.hovernet.decoder import Branch, decoder
from deeplab.models.hovernet.light_decoder import light_decoder
from deeplab.models.layers.resize import Tensor

STRIDE = 8  # of the last map of the published encoder


def build(config: HoverNetConfig) -> keras.Model:
    """Return the network: uint8 (n, h, w, channels) in, float32 logits by name out.

    These are "np" (n, h', w', 2), of other pixels and of nuclei's; "hv" (n, h', w', 2), across and
    down, no logits but the distances themselves; and, with types, "tp" (n, h', w', types + 1).
    Height and width are free, as `config.tiling` says; h' and w' are less by twice its margin.
    """
    rgb = keras.Input((None, None, len(config.channels)), dtype="uint8", name="rgb")
    facts = BACKBONES[config.backbone].normalisation.of(config.channels)
    x = layers.Rescaling(facts.scale, offset=facts.offset, name="normalisation")(rgb)
    branch = FEATURES[config.mode](x, config)
    outputs = {}
    for name, channels in config.branches:
        # Whatever the precision inside, losses and decoding start from float32.
        outputs[name] = layers.Activation("linear", dtype="float32", name=name)(
            branch(name, channels)
        )
    return keras.Model(rgb, outputs, name="hovernet")


def _original(x: Tensor, config: HoverNetConfig) -> Branch:
    return decoder(preact_resnet50(x, _options(config, STRIDE), stem="valid"), config)


def _fast(x: Tensor, config: HoverNetConfig) -> Branch:
    return decoder(preact_resnet50(x, _options(config, STRIDE)), config)


def _light(x: Tensor, config: HoverNetConfig) -> Branch:
    return light_decoder(BUILD[config.backbone](x, _options(config, LIGHT_STRIDE)), config)


FEATURES: Mapping[Mode, Callable[[Tensor, HoverNetConfig], Branch]] = MappingProxyType(
    {"original": _original, "fast": _fast, "light": _light}
)


def _options(config: HoverNetConfig, output_stride: int) -> BackboneOptions:
    return BackboneOptions(
        output_stride=output_stride,
        depth_multiplier=config.depth_multiplier,
        crop_size=config.crop_size,
        decay=config.batch_norm_decay,
    )
