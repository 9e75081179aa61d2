"""Xception (Chollet 2017, arXiv:1610.02357), as modified by Chen et al. 2018, section 3.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from keras import layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.convolution import Norm, conv, separable
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class XceptionBlock:
    """Three separable convolutions, `units` times over, the last of them with the stride.

    `inner_relu` puts a ReLU after each convolution of the pair instead of one before it.
    """

    name: str
    filters: tuple[int, int, int]
    skip: Literal["conv", "sum", "none"]
    stride: int = 1
    units: int = 1
    inner_relu: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class XceptionLayout:
    """A variant of Xception.

    Attributes:
        blocks: In order.
        taps: XceptionBlock whose second convolution the decoder taps, by stride.
    """

    blocks: tuple[XceptionBlock, ...]
    taps: Mapping[int, str]


def _entry(number: int, filters: int, stride: int) -> XceptionBlock:
    name = f"entry_flow.block{number}"
    return XceptionBlock(name=name, filters=(filters, filters, filters), skip="conv", stride=stride)


def _middle(units: int) -> XceptionBlock:
    return XceptionBlock(
        name="middle_flow.block1", filters=(728, 728, 728), skip="sum", units=units
    )


EXIT: tuple[XceptionBlock, ...] = (
    XceptionBlock(name="exit_flow.block1", filters=(728, 1024, 1024), skip="conv", stride=2),
    XceptionBlock(
        name="exit_flow.block2", filters=(1536, 1536, 2048), skip="none", inner_relu=True
    ),
)
_ENTRY_SHORT = (_entry(1, 128, 2), _entry(2, 256, 2), _entry(3, 728, 2))
_ENTRY_LONG = (
    _entry(1, 128, 2),
    _entry(2, 256, 1),
    _entry(3, 256, 2),
    _entry(4, 728, 1),
    _entry(5, 728, 2),
)
_TAPS_SHORT = MappingProxyType(
    {4: "entry_flow.block2", 8: "entry_flow.block3", 16: "exit_flow.block1"}
)
_TAPS_LONG = MappingProxyType(
    {4: "entry_flow.block3", 8: "entry_flow.block5", 16: "exit_flow.block1"}
)
XCEPTION_41 = XceptionLayout(blocks=(*_ENTRY_SHORT, _middle(8), *EXIT), taps=_TAPS_SHORT)
XCEPTION_65 = XceptionLayout(blocks=(*_ENTRY_SHORT, _middle(16), *EXIT), taps=_TAPS_SHORT)
XCEPTION_71 = XceptionLayout(blocks=(*_ENTRY_LONG, _middle(16), *EXIT), taps=_TAPS_LONG)


def xception(x: Tensor, options: BackboneOptions, layout: XceptionLayout) -> Pyramid:
    """Tiles (n, h, w, 3), values -1 to 1, to 2048 channels and taps at 2 to 16."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    stem = "backbone.entry_flow.conv1"
    stride, _ = budget.spend(2)
    x = conv(
        x, 32, name=f"{stem}_1", norm=norm, kernel=3, stride=stride,
        padding=options.stem_padding, activation="relu",
    )  # fmt: skip
    x = conv(x, 64, name=f"{stem}_2", norm=norm, kernel=3, activation="relu")
    taps = {2: x}
    for block in layout.blocks:
        for unit in range(1, block.units + 1):
            before = budget.spent  # the stride of all convolutions of a unit but the last
            stride, rate = budget.spend(block.stride if unit == block.units else 1)
            # Multi-grid spreads the rates of the last block, the one that has no skip.
            grid = options.multi_grid if options.multi_grid and block.skip == "none" else (1, 1, 1)
            x, middle = _unit(
                x,
                block,
                name=f"backbone.{block.name}.unit_{unit}",
                norm=norm,
                stride=stride,
                rates=tuple(rate * step for step in grid),
            )
            if layout.taps.get(before) == block.name:
                taps[before] = middle
    return Pyramid(features=x, taps=taps)


def _unit(
    x: Tensor, block: XceptionBlock, *, name: str, norm: Norm, stride: int, rates: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Return one unit of a block, and the map after its second convolution, before any ReLU."""
    out = middle = x
    for index, (filters, rate) in enumerate(zip(block.filters, rates, strict=True), start=1):
        part = f"{name}.separable_conv{index}"
        if not block.inner_relu:
            out = layers.Activation("relu", name=f"{part}.act")(out)
        out = separable(
            out,
            filters,
            name=part,
            norm=norm,
            stride=stride if index == 3 else 1,
            rate=rate,
            activation="relu" if block.inner_relu else None,
        )
        middle = out if index == 2 else middle
    if block.skip == "conv":
        x = conv(x, block.filters[-1], name=f"{name}.shortcut", norm=norm, stride=stride)
    if block.skip != "none":
        out = layers.Add(name=f"{name}.add")([out, x])
    return out, middle
