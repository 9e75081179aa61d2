"""The knobs of U-Net++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deeplab.config.skip_decoder import SkipDecoderConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetPlusPlusConfig(SkipDecoderConfig):
    """Those of every such decoder, see there; maps of every size are doubled from every coarser."""

    TITLE: ClassVar[str] = "U-Net++"

    @property
    def decoder_reach(self) -> int:
        """See `SkipDecoderConfig`; at each size but the finest one map more than at the last."""
        rows = self.depth - 1
        return 3 + 2 * sum((row + 1) << (rows - row) for row in range(rows))
