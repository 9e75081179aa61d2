"""An encoder, its features of a whole patch, and one layer that reads the classes from them.

Most encoders end in a map, whose mean is read; ConvNeXt and ViT read their features themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras
from keras import layers

from deeplab.config.patch_classifier import CNN_STRIDE, PatchClassifierConfig
from deeplab.config.patch_encoders import ConvNextFacts, ResNet38Facts, SwinFacts, VitFacts
from deeplab.errors import ConfigError
from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS
from deeplab.models.backbones.pyramid import BackboneOptions
from deeplab.models.backbones.table import BUILD
from deeplab.models.layers.convolution import Norm, conv
from deeplab.models.layers.dropout_attention import ProgressiveDropoutAttention
from deeplab.models.layers.resize import Tensor
from deeplab.models.outputs import CLASSES
from deeplab.models.patch_classifier.blocks import WHOLE, dense_layer, marked
from deeplab.models.patch_classifier.convnext import convnext
from deeplab.models.patch_classifier.resnet38 import resnet38
from deeplab.models.patch_classifier.swin import swin
from deeplab.models.patch_classifier.vit import vit

_TRANSFORMERS: Mapping[type, Callable[[Tensor, Any], Tensor]] = MappingProxyType(
    {ConvNextFacts: convnext, SwinFacts: swin, VitFacts: vit}
)


def build(config: PatchClassifierConfig) -> keras.Model:
    """Return the network: uint8 (n, side, side, channels) in, float32 logits by name out.

    That is "classes" (n, classes). The side is `config.crop_size`.
    """
    side = config.crop_size
    rgb = keras.Input((side, side, len(config.channels)), dtype="uint8", name="rgb")
    facts = config.normalisation
    x = layers.Rescaling(facts.scale, offset=facts.offset, name="normalisation")(rgb)
    x = _features(x, config)
    classes = dense_layer(config.classes, name="logits", bias=config.logit_bias)
    if config.attention_epoch:
        x = _attended(x, classes(x), config)
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    if config.dropout:
        x = layers.Dropout(config.dropout, name="dropout")(x)
    logits = classes(x)
    # Whatever the precision inside, losses and scores start from float32.
    outputs = {CLASSES: layers.Activation("linear", dtype="float32", name=CLASSES)(logits)}
    network = keras.Model(rgb, outputs, name="patch_classifier")
    _freeze(network, config.frozen)
    return network


def _attended(x: Tensor, class_maps: Tensor, config: PatchClassifierConfig) -> Tensor:
    """Return features (n, h, w, c) as a training is shown them, beside (n, h, w, classes)."""
    return ProgressiveDropoutAttention(
        epoch_steps=config.attention_epoch,
        start=config.attention_start,
        gamma=config.attention_gamma,
        decay=config.attention_decay,
        floor=config.attention_floor,
        name="attention",
    )(x, class_maps)


def _freeze(network: keras.Model, frozen: tuple[str, ...]) -> None:
    """Leave layers as they are in training.

    Raises:
        ConfigError: a name begins that of no layer with weights.
    """
    for beginning in frozen:
        found = [each for each in network.layers if each.name.startswith(beginning)]
        if not any(layer.weights for layer in found):
            names = dict.fromkeys(
                ".".join(layer.name.split(".")[:2]) for layer in network.layers if layer.weights
            )
            must = "the beginning of the name of a layer, as " + ", ".join(names)
            raise ConfigError("frozen", beginning, must)
        for layer in found:
            layer.trainable = False


def _features(x: Tensor, config: PatchClassifierConfig) -> Tensor:
    """Return the last map of an encoder, (n, h, w, c), or what it reads from that, (n, c)."""
    encoder = config.encoder
    if encoder is None:
        return _cnn(x, config)
    if isinstance(encoder, ResNet38Facts):
        return resnet38(x, encoder, decay=config.batch_norm_decay)
    return _TRANSFORMERS[type(encoder)](x, encoder)


def _cnn(x: Tensor, config: PatchClassifierConfig) -> Tensor:
    """Return the last map of a backbone, (n, h, w, c).

    An EfficientNet has a wide convolution before it that is a classifier's alone.
    """
    options = BackboneOptions(
        output_stride=CNN_STRIDE,
        depth_multiplier=config.depth_multiplier,
        crop_size=config.crop_size,
        decay=config.batch_norm_decay,
    )
    x = BUILD[config.backbone](x, options).features
    if layout := EFFICIENTNETS.get(config.backbone):
        norm = Norm(epsilon=layout.epsilon, decay=options.decay)
        x = conv(x, layout.head, name="backbone.head", norm=norm, activation="silu")
    return marked(x, name=WHOLE)
