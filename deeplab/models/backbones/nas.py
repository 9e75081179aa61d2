"""Networks whose cells were searched for: PNASNet and Auto-DeepLab.

PNASNet (Liu et al. 2018, arXiv:1712.00559) is a stack of one cell. Auto-DeepLab (Liu et al. 2019,
arXiv:1901.02985), "hnasnet" in TensorFlow's DeepLab, has a cell of its own and was searched for the
stride of each as well; its maps grow finer again on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from keras import initializers, layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid
from deeplab.models.layers.convolution import Norm, conv, normalised
from deeplab.models.layers.drop_path import DropPath
from deeplab.models.layers.resize import Resize, ResizeLike, Tensor

EPSILON = 1e-3
FILTERS = 20  # of each state of a cell whose map has stride 4; twice as many at twice the stride
STEM = (64, 64, 128)


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done to one state of a cell."""

    kind: Literal["separable", "atrous", "max_pool", "identity"]
    kernel: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NasLayout:
    """A variant.

    Attributes:
        pairs: Two operations for each new state of the cell, which is their sum, each with the
            number of the state that it is done to: 0 is what the cell before gave, 1 what the one
            before that gave, 2 the first new state.
        levels: Of each cell by output stride: its map has stride 4 at level 0, 8 at level 1 ...
        taps: Cell whose result the decoder taps, by stride; -1 for the stem.
    """

    pairs: tuple[tuple[Operation, int, Operation, int], ...]
    levels: Mapping[int, tuple[int, ...]]
    taps: Mapping[int, int]


SEPARABLE_3, SEPARABLE_5, SEPARABLE_7 = (Operation("separable", size) for size in (3, 5, 7))
ATROUS_3, ATROUS_5 = (Operation("atrous", size) for size in (3, 5))
MAX_POOL, IDENTITY = Operation("max_pool", 3), Operation("identity")

PNASNET = NasLayout(
    pairs=(
        (SEPARABLE_5, 1, MAX_POOL, 1),
        (SEPARABLE_7, 0, MAX_POOL, 0),
        (SEPARABLE_5, 0, SEPARABLE_3, 0),
        (SEPARABLE_3, 4, MAX_POOL, 0),
        (SEPARABLE_3, 1, IDENTITY, 0),
    ),
    levels=MappingProxyType(
        {8: (1,) * 12, 16: (1,) * 4 + (2,) * 8, 32: (1,) * 4 + (2,) * 4 + (3,) * 4}
    ),
    taps=MappingProxyType({4: -1, 8: 3}),
)
HNASNET = NasLayout(
    pairs=(
        (ATROUS_5, 1, SEPARABLE_3, 0),
        (SEPARABLE_3, 1, ATROUS_3, 0),
        (SEPARABLE_3, 3, SEPARABLE_3, 1),
        (SEPARABLE_5, 4, SEPARABLE_5, 2),
        (SEPARABLE_5, 3, ATROUS_5, 5),
    ),
    levels=MappingProxyType({8: (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)}),
    taps=MappingProxyType({4: 2, 8: 5}),
)


def nas(x: Tensor, options: BackboneOptions, layout: NasLayout) -> Pyramid:
    """Tiles (n, h, w, 3), values -1 to 1, to five states of the last cell and taps at 4, 8."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    before, x = _stem(x, norm)
    taps = {at: x for at, tapped in layout.taps.items() if tapped == -1}
    before_level, level = -1, 0
    levels = layout.levels[options.output_stride]
    for index, cell_level in enumerate(levels):
        name = f"backbone.cell_{index}"
        finer = cell_level < level
        # Where a map's size was even, doubling it gives one cell less than it had at this level.
        other_size = finer or before_level != level
        result = x
        if finer:
            x = Resize(up=2, name=f"{name}.finer")(x)
            level = cell_level
        step = _Step(
            layout=layout,
            filters=round(FILTERS * options.depth_multiplier) * 2**cell_level,
            stride=1 + cell_level - level,
            norm=norm,
            keep=1 - (index + 1) / len(levels) * (1 - options.drop_path_keep_prob),
        )
        if other_size:
            before = ResizeLike(name=f"{name}.previous.resize")([before, x])
        x = step.cell(x, before, name)
        before, before_level, level = result, _level_of(index, levels), cell_level
        taps |= {at: x for at, tapped in layout.taps.items() if tapped == index}
    return Pyramid(features=layers.Activation("relu", name="backbone.act")(x), taps=taps)


def _level_of(index: int, levels: tuple[int, ...]) -> int:
    """Return the level of what the cell `index` is given: of the cell before it, or of the stem."""
    return levels[index - 1] if index else 0


def _stem(x: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Tiles to maps of stride 2 and 4, neither after a ReLU."""
    name = "backbone.conv"
    first, second, third = STEM
    x = conv(x, first, name=f"{name}0", norm=norm, kernel=3, stride=2, activation="relu")
    finer = conv(x, second, name=f"{name}1", norm=norm, kernel=3)
    x = layers.Activation("relu", name=f"{name}2.before")(finer)
    return finer, conv(x, third, name=f"{name}2", norm=norm, kernel=3, stride=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """How one cell is built; `stride` is that of its operations on what it is given."""

    layout: NasLayout
    filters: int
    stride: int
    norm: Norm
    keep: float

    def cell(self, x: Tensor, before: Tensor, name: str) -> Tensor:
        """The last result and the one before it, of one size, to the next: the new states."""
        if before.shape[-1] != self.filters:
            before = self._convolved(before, name=f"{name}.previous", kernel=1)
        states = [self._convolved(x, name=f"{name}.begin", kernel=1), before]
        for index, (left, left_of, right, right_of) in enumerate(self.layout.pairs):
            pair = f"{name}.pair_{index}"
            parts = [
                self._operated(states[of], operation, name=f"{pair}.{side}", given=of < 2)
                for side, operation, of in (("left", left, left_of), ("right", right, right_of))
            ]
            states.append(layers.Add(name=f"{pair}.sum")(parts))
        return layers.Concatenate(name=f"{name}.concat")(states[2:])

    def _operated(self, x: Tensor, operation: Operation, *, name: str, given: bool) -> Tensor:
        """An operation done to a state, with the cell's stride if the state was given to it."""
        stride, kernel = self.stride if given else 1, operation.kernel
        if operation.kind == "identity":
            if stride == 1:
                return x
            return self._convolved(x, name=f"{name}.identity", kernel=1, stride=stride)
        if operation.kind == "separable":
            for number in (1, 2):
                part = f"{name}.separable_{kernel}x{kernel}_{number}"
                x = self._separable(x, name=part, kernel=kernel, stride=stride)
                stride = 1
        elif operation.kind == "atrous":
            x = self._atrous(
                x, name=f"{name}.atrous_{kernel}x{kernel}", kernel=kernel, stride=stride
            )
        else:
            x = layers.MaxPooling2D(kernel, strides=stride, padding="same", name=f"{name}.pool")(x)
        return x if self.keep == 1 else DropPath(self.keep, name=f"{name}.drop")(x)

    def _convolved(
        self, x: Tensor, *, name: str, kernel: int, stride: int = 1, rate: int = 1
    ) -> Tensor:
        """ReLU, convolution, batch norm."""
        x = layers.Activation("relu", name=f"{name}.before")(x)
        return conv(
            x, self.filters, name=name, norm=self.norm, kernel=kernel, stride=stride, rate=rate
        )

    def _atrous(self, x: Tensor, *, name: str, kernel: int, stride: int) -> Tensor:
        """Return a convolution of rate 2; or of rate 1 on a map of half the size."""
        if stride == 1:
            return self._convolved(x, name=name, kernel=kernel, rate=2)
        # Resized after the ReLU, as the original does; the second ReLU changes nothing.
        x = layers.Activation("relu", name=f"{name}.first")(x)
        x = Resize(down=stride, name=f"{name}.coarser")(x)
        return self._convolved(x, name=name, kernel=kernel)

    def _separable(self, x: Tensor, *, name: str, kernel: int, stride: int) -> Tensor:
        """ReLU, separable convolution with nothing in between its parts, batch norm."""
        x = layers.Activation("relu", name=f"{name}.before")(x)
        if stride > 1:
            x = layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
        x = layers.SeparableConv2D(
            self.filters,
            kernel,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            use_bias=False,
            depthwise_initializer=initializers.VarianceScaling(1.0, mode="fan_out"),
            pointwise_initializer=initializers.HeNormal(),
            name=name,
        )(x)
        return normalised(x, name=name, norm=self.norm, activation=None)
