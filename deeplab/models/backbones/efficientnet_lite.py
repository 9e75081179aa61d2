"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) for plain processors.

Without squeeze and excitation, and with ReLU6 for swish; Google, "Higher accuracy on vision models
with EfficientNet-Lite", 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

from keras import layers

from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid, StrideBudget
from deeplab.models.layers.convolution import Norm, conv, depthwise
from deeplab.models.layers.resize import Tensor

EPSILON = 1e-3
STEM = 32  # channels


@dataclass(frozen=True, slots=True)
class Stage:
    """Inverted residuals of the same channels: widen by `expansion`, filter, project."""

    expansion: int
    kernel: int
    filters: int
    blocks: int
    stride: int = 1


STAGES = (
    Stage(1, 3, 16, 1),
    Stage(6, 3, 24, 2, 2),
    Stage(6, 5, 40, 2, 2),
    Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3),
    Stage(6, 5, 192, 4, 2),
    Stage(6, 3, 320, 1),
)
TAPS = {2: 0, 4: 1, 8: 2, 16: 4}  # the last stage of each stride, before the next one halves it


def efficientnet_lite0(x: Tensor, options: BackboneOptions) -> Pyramid:
    """Tiles (n, h, w, 3), values about -1 to 1, to 320 channels and taps at 2 to 16."""
    norm = Norm(epsilon=EPSILON, decay=options.decay)
    budget = StrideBudget(options.output_stride)
    stride, _ = budget.spend(2)
    x = conv(
        x,
        STEM,
        name="backbone.stem",
        norm=norm,
        kernel=3,
        stride=stride,
        padding="same",
        activation="relu6",
    )
    taps: dict[int, Tensor] = {}
    index = 0
    for number, stage in enumerate(STAGES):
        for block in range(stage.blocks):
            stride, rate = budget.spend(stage.stride if block == 0 else 1)
            name = f"backbone.block_{index}"
            x = _residual(x, stage, name=name, norm=norm, stride=stride, rate=rate)
            index += 1
        if TAPS.get(budget.spent) == number:
            taps[budget.spent] = x
    return Pyramid(features=x, taps=taps)


def _residual(x: Tensor, stage: Stage, *, name: str, norm: Norm, stride: int, rate: int) -> Tensor:
    wide, channels = x, x.shape[-1]
    if stage.expansion > 1:
        wide = conv(
            x, channels * stage.expansion, name=f"{name}.expand", norm=norm, activation="relu6"
        )
    wide = depthwise(
        wide,
        name=f"{name}.depthwise",
        norm=norm,
        kernel=stage.kernel,
        stride=stride,
        rate=rate,
        padding="same",
        activation="relu6",
    )
    out = conv(wide, stage.filters, name=f"{name}.project", norm=norm)
    if stride > 1 or channels != stage.filters:
        return out
    return layers.Add(name=f"{name}.add")([x, out])
