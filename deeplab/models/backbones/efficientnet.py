"""EfficientNet-B0 to B7 (Tan and Le 2019, arXiv:1905.11946), as two programs compute them.

And timm's EfficientNet-Lite0 to Lite4, which have no gates (Google 2020, see `efficientnet_lite`).

`efficientnet_b*` is TensorFlow's, and EfficientNet-PyTorch's after it: epsilon 1e-3, and strided
convolutions padded as TensorFlow pads them in a picture of the side that the network was published
with - behind only where a map's side is even there, on both sides where it is odd. So it stays at
every other side, as in EfficientNet-PyTorch. `timm_efficientnet_b*` is timm's own: epsilon 1e-5,
always padded on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from keras import layers

from deeplab.models.backbones.efficientnet_lite import STAGES, Stage
from deeplab.models.backbones.mobilenet_v2 import whole_channels
from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.convolution import Activation, Norm, Padding, conv, depthwise
from deeplab.models.layers.gate import channel_gate
from deeplab.models.layers.resize import Tensor

STEM, HEAD = 32, 1280  # channels at width 1; the head is a classifier's
SQUEEZE = 4  # times fewer channels between the convolutions of a gate than a block takes in
TAPS = {4: 1, 8: 2, 16: 4}  # the last stage of each stride, before the next one halves it


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficientNetLayout:
    """One size of the network, as one program computes it.

    Attributes:
        width: Times the channels of B0.
        depth: Times the blocks of B0.
        side: Of the pictures that it was published with, by which TensorFlow's padding goes; 0:
            on both sides everywhere.
        epsilon: Of the batch norms.
        early: Block whose map is that of stride 16, where it is not that of its last stage.
        lite: Whether it has no gates, ReLU6 for swish, and stem, head, and blocks of the first and
            the last stage as they are in the smallest.
    """

    width: float
    depth: float
    side: int
    epsilon: float
    early: int | None = None
    lite: bool = False

    @property
    def stem(self) -> int:
        """Channels of the first convolution."""
        return STEM if self.lite else whole_channels(STEM * self.width)

    @property
    def head(self) -> int:
        """Channels of a classifier's last convolution."""
        return HEAD if self.lite else whole_channels(HEAD * self.width)

    @property
    def activation(self) -> Activation:
        """After all convolutions but the last of a block."""
        return "relu6" if self.lite else "silu"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages at this width and depth."""
        return tuple(
            Stage(
                stage.expansion,
                stage.kernel,
                whole_channels(stage.filters * self.width),
                stage.blocks
                if self.lite and stage in (STAGES[0], STAGES[-1])
                else math.ceil(stage.blocks * self.depth),
                stage.stride,
            )
            for stage in STAGES
        )

    def paddings(self) -> Iterator[Padding]:
        """Yield how each strided convolution is padded, the first one's before the stages'."""
        side = self.side
        for stride in (2, *(stage.stride for stage in STAGES)):
            if stride > 1:
                yield "same" if side and side % 2 == 0 else "symmetric"
                side = math.ceil(side / stride)


_SIZES = (
    *((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 300)),
    *((1.4, 1.8, 380), (1.6, 2.2, 456), (1.8, 2.6, 528), (2.0, 3.1, 600)),
)
# segmentation_models_pytorch gives its decoders the first map of B0's stage of 112 channels, and of
# all other sizes the last.
EARLY = {0: 8}
LAYOUTS: Mapping[str, EfficientNetLayout] = MappingProxyType(
    {
        f"efficientnet_b{size}": EfficientNetLayout(
            width=width, depth=depth, side=side, epsilon=1e-3, early=EARLY.get(size)
        )
        for size, (width, depth, side) in enumerate(_SIZES)
    }
    | {
        f"timm_efficientnet_b{size}": EfficientNetLayout(
            width=width, depth=depth, side=0, epsilon=1e-5
        )
        for size, (width, depth, _) in enumerate(_SIZES)
    }
    | {
        f"timm_efficientnet_lite{size}": EfficientNetLayout(
            width=width, depth=depth, side=0, epsilon=1e-5, lite=True
        )
        for size, (width, depth, _) in enumerate(_SIZES[:5])
    }
)


def efficientnet(x: Tensor, options: BackboneOptions, layout: EfficientNetLayout) -> Pyramid:
    """Tiles (n, h, w, c), standardised, to 320 channels times the width, and taps at 2 to 16."""
    norm = Norm(epsilon=layout.epsilon, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    paddings = layout.paddings()
    stride, _ = budget.spend(2)
    x = conv(
        x, layout.stem, name="backbone.stem", norm=norm, kernel=3, stride=stride,
        padding=next(paddings), activation=layout.activation,
    )  # fmt: skip
    taps, stage_maps = {2: x}, {}
    index = 0
    for number, stage in enumerate(layout.stages):
        padding = next(paddings) if stage.stride > 1 else "same"
        for block in range(stage.blocks):
            stride, rate = budget.spend(stage.stride if block == 0 else 1)
            x = _residual(
                x, stage, layout, name=f"backbone.block_{index}", norm=norm, stride=stride,
                rate=rate, padding=padding, cells=(options.crop_size - 1) // budget.spent + 1,
            )  # fmt: skip
            if index == layout.early and budget.spent == max(TAPS):
                taps[budget.spent] = x
            index += 1
        for at in (at for at, tapped in TAPS.items() if tapped == number and at == budget.spent):
            taps.setdefault(at, x)
        stage_maps[budget.spent] = x
    return Pyramid(features=x, taps=taps, stage_maps=stage_maps)


def _residual(  # noqa: PLR0913  all that one block can be
    x: Tensor,
    stage: Stage,
    layout: EfficientNetLayout,
    *,
    name: str,
    norm: Norm,
    stride: int,
    rate: int,
    padding: Padding,
    cells: int,
) -> Tensor:
    wide, channels = x, x.shape[-1]
    if stage.expansion > 1:
        wide = conv(
            x, channels * stage.expansion, name=f"{name}.expand", norm=norm,
            activation=layout.activation,
        )  # fmt: skip
    wide = depthwise(
        wide, name=f"{name}.depthwise", norm=norm, kernel=stage.kernel, stride=stride, rate=rate,
        padding=padding, activation=layout.activation,
    )  # fmt: skip
    if not layout.lite:
        gates = channel_gate(
            wide, name=name, squeezed=channels // SQUEEZE, cells=cells, activation="silu"
        )
        wide = layers.Multiply(name=f"{name}.gated")([wide, gates])
    out = conv(wide, stage.filters, name=f"{name}.project", norm=norm)
    if stride > 1 or channels != stage.filters:
        return out
    return layers.Add(name=f"{name}.add")([x, out])
