"""EfficientDet that labels pixels: EfficientNet, BiFPN, and doublings of the pyramid to logits.

The network of Tan et al. 2020 (arXiv:1911.09070) with the head that SURF-segmentation trains on
whole-slide images: a transposed convolution doubles the coarsest map, the next finer one is joined
to it, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
from keras import initializers, layers, ops

from deeplab.config.efficientdet_seg import MAX_LEVEL, EfficientDetSegConfig
from deeplab.models.backbones.efficientnet import LAYOUTS, efficientnet
from deeplab.models.backbones.pyramid import BackboneOptions
from deeplab.models.efficientdet_seg.bifpn import bifpn_cell, halved, lateral
from deeplab.models.layers.convolution import Norm, normalised
from deeplab.models.layers.resize import Double, Tensor
from deeplab.models.outputs import SEMANTIC_LOGITS

EPSILON = 1e-3
LAST_LEVEL = 5  # of the backbone


@keras.saving.register_keras_serializable(package="deeplab")
class LogitsTranspose(layers.Layer):  # type: ignore[misc]  # keras has no types
    """A transposed convolution 3 x 3 of stride 2 whose kernel ends in labels: (3, 3, c, labels).

    Keras' own has channels last, where a training looks for one entry a label.
    """

    def __init__(self, labels: int, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.labels = labels

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make kernel and bias."""
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, shape[-1], self.labels), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.labels,), initializer="zeros")

    def call(self, x: Tensor) -> Tensor:
        """Map (n, h, w, c) to logits (n, 2 h, 2 w, labels)."""
        kernel = ops.transpose(self.kernel, (0, 1, 3, 2))
        return ops.conv_transpose(x, kernel, strides=2, padding="same") + self.bias

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        count, *sides, _ = shape
        return (count, *(side and 2 * side for side in sides), self.labels)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "labels": self.labels}


def build(config: EfficientDetSegConfig) -> keras.Model:
    """Return the network: pixels uint8 (n, h, w, channels) in, "semantic_logits" out.

    Logits are float32 (n, h, w, labels). Those of the head, the layer `logits`, have a stride of
    2 ** (min_level - 1). Height and width are free multiples of 128.
    """
    norm = Norm(epsilon=EPSILON, decay=config.batch_norm_decay)
    shown = keras.Input((None, None, len(config.channels)), dtype="uint8", name="rgb")
    pixels = config.pixels
    x = layers.Rescaling(pixels.scale, offset=pixels.offset, name="normalisation")(shown)
    pyramid: Mapping[int, Tensor] = _pyramid(x, config, norm)
    for cell in range(config.fpn_cells):
        pyramid = bifpn_cell(
            pyramid, config.fpn_filters, name=f"fpn.cell_{cell}", norm=norm, fusion=config.fusion
        )
    x = _head(pyramid, config, norm)  # (n, h / 2 ** (min_level - 1), ..., labels)
    for number in range(config.min_level - 1):
        x = Double(name=f"double_{number}")(x)
    # Whatever the precision inside, losses and softmax start from float32.
    logits = layers.Activation("linear", dtype="float32", name=SEMANTIC_LOGITS)(x)
    return keras.Model(shown, {SEMANTIC_LOGITS: logits}, name="efficientdet_seg")


def _pyramid(x: Tensor, config: EfficientDetSegConfig, norm: Norm) -> dict[int, Tensor]:
    """Return the maps of all levels by level: the backbone's, and those made of its last."""
    # Sides are multiples of 128 and so even at every stride, where TensorFlow pads behind only.
    layout = replace(LAYOUTS[config.backbone], side=2**MAX_LEVEL)
    encoded = efficientnet(
        x,
        BackboneOptions(
            output_stride=2**LAST_LEVEL,
            depth_multiplier=1.0,
            crop_size=config.crop_size,
            decay=config.batch_norm_decay,
        ),
        layout,
    )
    maps = {level: encoded.stage_maps[2**level] for level in config.levels if level <= LAST_LEVEL}
    coarser = maps[LAST_LEVEL]
    if coarser.shape[-1] != config.fpn_filters:
        coarser = lateral(coarser, config.fpn_filters, name="fpn.level_6", norm=norm)
    for level in range(LAST_LEVEL + 1, MAX_LEVEL + 1):
        maps[level] = coarser = halved(coarser, name=f"fpn.level_{level}.down")
    return maps


def _head(pyramid: Mapping[int, Tensor], config: EfficientDetSegConfig, norm: Norm) -> Tensor:
    """Return logits (n, h, w, labels) of twice the sides of the pyramid's finest map."""
    x = pyramid[MAX_LEVEL]
    for number, level in enumerate(reversed(config.levels[:-1])):
        name = f"head.up_{number}"
        x = layers.Conv2DTranspose(
            config.fpn_filters,
            3,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer=initializers.HeNormal(),
            name=name,
        )(x)
        x = normalised(x, name=name, norm=norm, activation="silu")
        x = layers.Concatenate(name=f"head.concat_{number}")([x, pyramid[level]])
    return LogitsTranspose(config.label_count, name="logits")(x)
