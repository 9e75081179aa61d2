"""BiFPN: a pyramid of maps that are added to one another, downwards and upwards, again and again.

Tan et al. 2020, arXiv:1911.09070, section 3, with the weights of its "fast normalized fusion".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import initializers, layers, ops

from deeplab.config.efficientdet_seg import Fusion
from deeplab.models.layers.convolution import Norm, normalised
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-4  # of the sum of weights


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidNode:
    """A map that others are added to become.

    Attributes:
        level: Its stride is 2 to this.
        inputs: Of the maps so far, those that are added: the maps of the pyramid that comes in,
            the finest first, and after these the nodes.
    """

    level: int
    inputs: tuple[int, ...]


def cell_nodes(levels: range) -> tuple[PyramidNode, ...]:
    """Return the nodes of a cell in the order in which they are computed.

    Downwards each level's map takes in the node above it; upwards it takes in all that there is of
    its level and the node below it.
    """
    of_level = {level: [index] for index, level in enumerate(levels)}
    nodes: list[PyramidNode] = []

    def add(level: int, inputs: tuple[int, ...]) -> None:
        of_level[level].append(len(levels) + len(nodes))
        nodes.append(PyramidNode(level=level, inputs=inputs))

    for level in reversed(levels[:-1]):
        add(level, (of_level[level][-1], of_level[level + 1][-1]))
    for level in levels[1:]:
        add(level, (*of_level[level], of_level[level - 1][-1]))
    return tuple(nodes)


@keras.saving.register_keras_serializable(package="deeplab")
class WeightedSum(layers.Layer):  # type: ignore[misc]  # keras has no types
    """The sum of maps, each in a share that is learnt: w / (sum of all w + 1e-4).

    With the fusion "relu" a weight below 0 counts as 0, so that shares are between 0 and 1.
    """

    def __init__(self, fusion: Fusion, **layer: Any) -> None:  # noqa: ANN401  keras' own arguments
        super().__init__(**layer)
        self.fusion = fusion

    def build(self, shapes: list[tuple[int | None, ...]]) -> None:
        """Make a weight for each map."""
        self.shares = [
            self.add_weight(name=f"weight_{index}", shape=(), initializer="ones")
            for index in range(len(shapes))
        ]

    def call(self, maps: list[Tensor]) -> Tensor:
        """Maps (n, h, w, c) to their weighted sum (n, h, w, c)."""
        shares = [ops.cast(share, maps[0].dtype) for share in self.shares]
        if self.fusion == "relu":
            shares = [ops.relu(share) for share in shares]
        total = sum(shares) + EPSILON
        return sum(each * share / total for each, share in zip(maps, shares, strict=True))

    def compute_output_shape(self, shapes: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        """Shape of the result."""
        return shapes[0]

    def get_config(self) -> dict[str, Any]:
        """Return everything to make this layer again."""
        return {**super().get_config(), "fusion": self.fusion}


def halved(x: Tensor, *, name: str) -> Tensor:
    """Return the greatest of each 3 x 3 cells at every other place: (n, h, w, c) to half sides."""
    return layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)


def lateral(x: Tensor, filters: int, *, name: str, norm: Norm) -> Tensor:
    """Return a map with other channels: convolution 1 x 1 with bias, and batch norm."""
    x = layers.Conv2D(filters, 1, kernel_initializer=initializers.HeNormal(), name=name)(x)
    return normalised(x, name=name, norm=norm, activation=None)


def bifpn_cell(
    pyramid: Mapping[int, Tensor], filters: int, *, name: str, norm: Norm, fusion: Fusion
) -> dict[int, Tensor]:
    """Return the pyramid after one way down and up.

    Args:
        pyramid: By level, the finest first: (n, h / 2 ** level, w / 2 ** level, any channels).
        filters: Channels of all maps of the result.
        name: What the names of the layers begin with.
        norm: Of all batch norms.
        fusion: How weights become shares.
    """
    levels = range(min(pyramid), max(pyramid) + 1)
    maps = [(level, pyramid[level]) for level in levels]
    result = dict(pyramid)
    for number, node in enumerate(cell_nodes(levels)):
        scope = f"{name}.node_{number}"
        inputs = []
        for place, index in enumerate(node.inputs):
            level, x = maps[index]
            if x.shape[-1] != filters:
                x = lateral(x, filters, name=f"{scope}.lateral_{place}", norm=norm)
            if level < node.level:
                x = halved(x, name=f"{scope}.down_{place}")
            elif level > node.level:
                x = layers.UpSampling2D(2, name=f"{scope}.up_{place}")(x)
            inputs.append(x)
        x = WeightedSum(fusion, name=f"{scope}.fuse")(inputs)
        x = layers.Activation("silu", name=f"{scope}.act")(x)
        x = layers.DepthwiseConv2D(
            3,
            padding="same",
            use_bias=False,
            # Each output sums a kernel of inputs: what Keras calls fan_out for this kernel's shape.
            depthwise_initializer=initializers.VarianceScaling(2.0, mode="fan_out"),
            name=f"{scope}.depthwise",
        )(x)
        x = lateral(x, filters, name=f"{scope}.pointwise", norm=norm)
        maps.append((node.level, x))
        result[node.level] = x
    return result
