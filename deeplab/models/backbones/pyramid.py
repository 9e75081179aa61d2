"""Feature maps by their stride."""

from __future__ import annotations

from dataclasses import dataclass

from deeplab.models.layers.resize import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """What a backbone found in a batch of tiles.

    Attributes:
        features: Its last map, (n, h/output_stride, w/output_stride, c).
        taps: Low-level maps by stride: `taps[4]` is (n, h/4, w/4, c).
    """

    features: Tensor
    taps: dict[int, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneOptions:
    """The knobs every backbone is built with; `decay` is that of its batch norms."""

    output_stride: int
    depth_multiplier: float
    multi_grid: tuple[int, ...]
    decay: float


class StrideBudget:
    """Turns strides beyond the output stride into atrous rates.

    Once the wanted output stride is reached, a stride-2 layer runs at stride 1 and every layer
    after it with twice the rate, so that it sees as far as it would have.
    """

    def __init__(self, output_stride: int) -> None:
        self._left = output_stride
        self._rate = 1

    def spend(self, stride: int) -> tuple[int, int]:
        """The (stride, rate) at which to run a layer whose paper says `stride`."""
        if self._left > 1:
            self._left //= stride
            return stride, 1
        rate = self._rate
        self._rate *= stride
        return 1, rate
