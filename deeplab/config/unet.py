"""The knobs of U-Net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from deeplab.config.skip_decoder import SkipDecoderConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetConfig(SkipDecoderConfig):
    """Those of every such decoder, see there; each doubled map meets the encoder's of its size."""

    TITLE: ClassVar[str] = "U-Net"
