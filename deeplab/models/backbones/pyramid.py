"""Feature maps by their stride."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deeplab.models.layers.convolution import Padding
from deeplab.models.layers.resize import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pyramid:
    """What a backbone found in a batch of tiles.

    Attributes:
        features: Its last map, (n, h/output_stride, w/output_stride, c).
        taps: Low-level maps by stride: `taps[4]` is (n, h/4, w/4, c).
        stage_maps: By stride the last map of that stride, for pyramids; of EfficientNets only.
    """

    features: Tensor
    taps: dict[int, Tensor]
    stage_maps: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneOptions:
    """The knobs every backbone is built with: fields of the network's config of the same names.

    Attributes:
        output_stride: Work pixels per cell of the last map.
        depth_multiplier: Width, of a backbone that has several.
        channel_multiple: What channels are rounded to at a width that is not 1.
        multi_grid: Rates of the last block times this.
        crop_size: Work pixels: how far means look that gate features.
        drop_path_keep_prob: Share of the paths that the last cell keeps in training.
        decay: Of the batch norms.
        stem_padding: How an xception's first convolution is padded.
    """

    output_stride: int
    depth_multiplier: float
    channel_multiple: int = 8
    multi_grid: tuple[int, ...] = ()
    crop_size: int
    drop_path_keep_prob: float = 1.0
    decay: float
    stem_padding: Padding = "symmetric"


class StrideBudget:
    """Turns strides beyond the output stride into atrous rates.

    Once the wanted output stride is reached, a stride-2 layer runs at stride 1 and every layer
    after it with twice the rate, so that it sees as far as it would have.

    Attributes:
        spent: Work pixels per cell after the layers so far.
    """

    def __init__(self, output_stride: int) -> None:
        self._left = output_stride
        self._rate = 1
        self.spent = 1

    def spend(self, stride: int) -> tuple[int, int]:
        """Return the (stride, rate) at which to run a layer whose paper says `stride`."""
        if self._left > 1:
            self._left //= stride
            self.spent *= stride
            return stride, 1
        rate = self._rate
        self._rate *= stride
        return 1, rate
