"""A network that labels pixels, whose classes a patch classifier lets through.

What the classifier does not see in a patch no pixel of it becomes (Han et al. 2022,
arXiv:2110.08048). The original multiplies the logits of an absent class by 0, so that it can win
where all others are below; here it has no chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from deeplab.config.class_gate import ClassGateConfig
from deeplab.config.network import NetworkConfig
from deeplab.models.dense.pixels import of_pixels
from deeplab.models.family import member_scope
from deeplab.models.layers.resize import Tensor, enlarge_align_corners
from deeplab.models.outputs import CLASSES, SEMANTIC_LOGITS

ABSENT = -1e9  # a logit whose softmax is 0, and finite: sums of logits stay numbers


@keras.saving.register_keras_serializable(package="deeplab")
class Patches(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """The whole patches of a tile, of which a column or row of less than a patch is left out."""

    def __init__(self, side: int, **layer: Any) -> None:  # noqa: ANN401  keras' own
        super().__init__(**layer)
        self.side = side

    def call(self, pixels: Tensor) -> Tensor:
        """Pixels (n, h, w, c) to patches (n rows columns, side, side, c), in reading order."""
        _, height, width, channels = ops.shape(pixels)
        side, rows, columns = self.side, height // self.side, width // self.side
        whole = pixels[:, : rows * side, : columns * side]
        x = ops.reshape(whole, (-1, rows, side, columns, side, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, side, side, channels))

    def compute_output_spec(self, pixels: Tensor) -> keras.KerasTensor:
        """Shape and type of the result."""
        return keras.KerasTensor((None, self.side, self.side, pixels.shape[3]), pixels.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "side": self.side}


@keras.saving.register_keras_serializable(package="deeplab")
class ClassGate(keras.layers.Layer):  # type: ignore[misc]  # keras has no types
    """Logits at every pixel, without the classes that its patch has not.

    Args:
        side: of a patch, pixels.
        stride: pixels from one logit to the next.
        threshold: score that a class must exceed.
        exclusive: whether scores of classes add up to 1.
    """

    def __init__(
        self,
        *,
        side: int,
        stride: int,
        threshold: float,
        exclusive: bool,
        **layer: Any,  # noqa: ANN401  keras' own
    ) -> None:
        super().__init__(**layer)
        self.side, self.stride = side, stride
        self.threshold, self.exclusive = threshold, exclusive

    def call(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        """Logits (n, h, w, labels) and (patches, classes) to float32 (n, H, W, labels)."""
        logits, classes = maps
        # Before the gate: a logit between two patches must not take from the neighbour's.
        logits = enlarge_align_corners(ops.cast(logits, "float32"), self.stride)
        _, height, width, labels = ops.shape(logits)
        rows, columns = height // self.side, width // self.side
        classes = ops.cast(classes, "float32")
        scores = ops.softmax(classes) if self.exclusive else ops.sigmoid(classes)
        present = ops.cast(scores > self.threshold, "float32")
        present = ops.reshape(present, (-1, rows, columns, labels - 1))
        present = ops.take(present, self._patch_of(height, rows), axis=1)
        present = ops.take(present, self._patch_of(width, columns), axis=2)
        present = ops.concatenate([ops.ones_like(present[..., :1]), present], axis=-1)
        return ops.where(present > 0, logits, ABSENT)

    def _patch_of(self, length: Tensor, patches: Tensor) -> Tensor:
        """Return the patch of each pixel of a row; what is beyond the last is in the halo."""
        return ops.minimum(ops.arange(length, dtype="int32") // self.side, patches - 1)

    def compute_output_spec(self, maps: tuple[Tensor, Tensor]) -> keras.KerasTensor:
        """Shape and type of the result."""
        count, *sides, labels = maps[0].shape
        if self.stride > 1:
            sides = [side and (side - 1) * self.stride + 1 for side in sides]
        return keras.KerasTensor((count, *sides, labels), "float32")

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        knobs = ("side", "stride", "threshold", "exclusive")
        return {**super().get_config(), **{name: getattr(self, name) for name in knobs}}


def build(
    config: ClassGateConfig, build_member: Callable[[NetworkConfig], keras.Model]
) -> keras.Model:
    """Return uint8 (n, h, w, channels) to {"semantic_logits": float32 (n, h, w, labels)}.

    Patches are cut from the tile's top left corner, which a plan of tiles puts on the slide's grid
    of patches.

    Args:
        config: names both networks.
        build_member: the config of either to its network, which gives semantic logits or logits
            of whole patches.
    """
    tile = keras.Input((None, None, len(config.channels)), dtype="uint8", name="rgb")
    # Where views of other scales come in, which are no longer uint8; each network has its own.
    pixels = layers.Rescaling(1.0, name="normalisation")(tile)
    with keras.name_scope(member_scope(1)):
        segmenter = build_member(config.segmenter)
    with keras.name_scope(member_scope(2)):
        classifier = build_member(config.classifier)
    segmenter = of_pixels(segmenter, SEMANTIC_LOGITS, member_scope(1))
    classifier = of_pixels(classifier, CLASSES, member_scope(2))
    classifier.trainable = False  # nothing of the gate's answer has a slope
    classes = classifier(Patches(config.side, name="patches")(pixels))
    logits = ClassGate(
        side=config.side,
        stride=config.segmenter.tiling.logit_stride,
        threshold=config.threshold,
        exclusive=config.classifier.excludes,
        dtype="float32",
        name=SEMANTIC_LOGITS,
    )([segmenter(pixels), classes])
    return keras.Model(tile, {SEMANTIC_LOGITS: logits}, name="class_gate")
