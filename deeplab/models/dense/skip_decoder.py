"""An encoder's maps, doubled step by step with skips, to a logit a pixel and label."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers, ops

from deeplab.config.skip_decoder import SkipDecoderConfig
from deeplab.models.backbones.pyramid import BackboneOptions
from deeplab.models.backbones.table import BUILD
from deeplab.models.layers.convolution import Norm, conv
from deeplab.models.layers.gate import scse
from deeplab.models.layers.resize import Tensor
from deeplab.models.outputs import SEMANTIC_LOGITS

EPSILON = 1e-5

# The encoder's maps, the coarsest first, to a map of the tile's size.
Decoder = Callable[[tuple[Tensor, ...], "Doubling"], Tensor]


@keras.saving.register_keras_serializable(package="deeplab")
class AgainstZero(layers.Layer):  # type: ignore[misc]  # keras has no types
    """The logit of a sigmoid as the second of two, of which softmax makes the same probability."""

    def call(self, logit: Tensor) -> Tensor:
        """Logits (n, h, w, 1) to (n, h, w, 2), the first of which is 0."""
        return ops.pad(logit, [[0, 0], [0, 0], [0, 0], [1, 0]])

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return (*shape[:-1], 2)


class Doubling:
    """The step that decoders are made of.

    A map is doubled, pixel by pixel, joined with finer ones, and convolved twice; attention gates
    what was joined and what comes of it.
    """

    def __init__(self, config: SkipDecoderConfig) -> None:
        self._config = config
        self._norm = Norm(epsilon=EPSILON, decay=config.batch_norm_decay)

    def __call__(
        self, x: Tensor, finer: tuple[Tensor, ...], channels: int, *, name: str, stride: int
    ) -> Tensor:
        """Return a map of twice the sides: (n, h, w, c) to (n, 2 h, 2 w, channels).

        Args:
            x: The map.
            finer: Maps of twice its sides that it is joined with; none where there is no skip.
            channels: Of the result.
            name: What the names of the layers begin with.
            stride: Work pixels per cell of the result.
        """
        x = layers.UpSampling2D(2, name=f"{name}.up")(x)
        if finer:
            x = layers.Concatenate(name=f"{name}.concat")([x, *finer])
            x = self._attended(x, name=f"{name}.attention1", stride=stride)
        for part in ("conv1", "conv2"):
            x = conv(
                x, channels, name=f"{name}.{part}", norm=self._norm, kernel=3, activation="relu"
            )
        return self._attended(x, name=f"{name}.attention2", stride=stride)

    def _attended(self, x: Tensor, *, name: str, stride: int) -> Tensor:
        if self._config.attention == "none":
            return x
        coarsest = 2**self._config.depth
        cells = -(-self._config.crop_size // coarsest)
        return scse(x, name=name, cell=coarsest // stride, cells=cells)


def build_skip_decoder(config: SkipDecoderConfig, decoder: Decoder, *, name: str) -> keras.Model:
    """Return the network of an encoder and a decoder.

    It takes pixels uint8 (n, h, w, channels), and gives {"semantic_logits": float32 (n, h, w,
    labels)}. Height and width are free multiples of 2 ** depth.
    """
    shown = keras.Input((None, None, len(config.channels)), dtype="uint8", name="rgb")
    pixels = config.pixels
    x = layers.Rescaling(pixels.scale, offset=pixels.offset, name="normalisation")(shown)
    x = decoder(_encoder_maps(x, config), Doubling(config))  # (n, h, w, c)
    count = 1 if config.head == "sigmoid" else config.label_count
    x = layers.Conv2D(count, 3, padding="same", name="logits")(x)
    if config.head == "sigmoid":
        x = AgainstZero(name="decoder.against_zero")(x)
    # Whatever the precision inside, losses and softmax start from float32.
    logits = layers.Activation("linear", dtype="float32", name=SEMANTIC_LOGITS)(x)
    return keras.Model(shown, {SEMANTIC_LOGITS: logits}, name=name)


def _encoder_maps(x: Tensor, config: SkipDecoderConfig) -> tuple[Tensor, ...]:
    """Return the encoder's maps at strides 2 ** depth to 2; what none of them needs is dropped."""
    pyramid = BUILD[config.backbone](
        x,
        BackboneOptions(
            output_stride=config.encoder_stride,
            depth_multiplier=config.depth_multiplier,
            crop_size=config.crop_size,
            decay=config.batch_norm_decay,
        ),
    )
    maps = pyramid.taps | {config.encoder_stride: pyramid.features}
    return tuple(maps[2**level] for level in range(config.depth, 0, -1))
