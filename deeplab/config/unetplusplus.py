"""The knobs of U-Net++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deeplab.config.skip_decoder import SkipDecoderConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetPlusPlusConfig(SkipDecoderConfig):
    """Those of every such decoder, see there; maps of every size are doubled from every coarser."""

    TITLE: ClassVar[str] = "U-Net++"
