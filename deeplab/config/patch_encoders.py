"""What is known of every encoder that is made for whole patches: one row of facts each.

They end in features of a patch, or in one map, not in maps of several strides, so they are no
backbones of networks that label pixels. What `deeplab.config.backbones` lists can classify
patches, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

# A patch is of one class, or of any number of them.
Problem = Literal["multi_class", "multi_label"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNextFacts:
    """A ConvNeXt (Liu et al. 2022, arXiv:2201.03545).

    Attributes:
        depths: Blocks of each stage.
        widths: Channels of each stage.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    side: int = 224

    @property
    def multiple(self) -> int:
        """What the side of a patch is a multiple of."""
        return 32

    @property
    def weight_count(self) -> int:
        """Numbers in the wide layers of all blocks."""
        return sum(8 * d * w * w for d, w in zip(self.depths, self.widths, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class VitFacts:
    """A vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).

    Attributes:
        width: Channels of a token.
        depth: Blocks.
        patch: Side of what a token is made of, pixels.
    """

    width: int
    depth: int
    patch: int = 16
    side: int = 224

    @property
    def heads(self) -> int:
        """Attention heads of 64 channels."""
        return self.width // 64

    @property
    def multiple(self) -> int:
        """What the side of a patch is a multiple of."""
        return self.patch

    @property
    def weight_count(self) -> int:
        """Numbers in the wide layers of all blocks."""
        return 12 * self.depth * self.width * self.width


@dataclass(frozen=True, slots=True, kw_only=True)
class SwinFacts:
    """A Swin transformer (Liu et al. 2021, arXiv:2103.14030).

    Attributes:
        width: Channels of the first stage; each later one has twice as many.
        depths: Blocks of each stage.
        heads: Attention heads of each stage.
        window: Side of the windows in which tokens see each other, tokens.
    """

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    side: int

    @property
    def multiple(self) -> int:
        """What the side of a patch is a multiple of: 4 pixels a token, halved three times."""
        return 32

    @property
    def weight_count(self) -> int:
        """Numbers in the wide layers of all blocks."""
        return sum(12 * depth * (self.width << at) ** 2 for at, depth in enumerate(self.depths))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNet38Facts:
    """A ResNet38-d (Wu et al. 2016, arXiv:1611.10080), a CNN whose map has an eighth of the side.

    Attributes:
        units: Units of two 3 x 3 convolutions in the blocks 2 to 5.
        widths: Channels inside of each of them, and behind it.
        bottlenecks: Channels of the blocks 6 and 7, and the share of them left out in training.
        taps: Layers of which pseudo masks are made, from the first on.
    """

    units: tuple[int, ...]
    widths: tuple[tuple[int, int], ...]
    bottlenecks: tuple[tuple[int, float], ...]
    taps: tuple[str, ...]
    side: int = 224

    @property
    def multiple(self) -> int:
        """What the side of a patch is a multiple of: it is halved three times."""
        return 8

    @property
    def weight_count(self) -> int:
        """Numbers in the convolutions of all blocks."""
        count, before = 0, 64
        for units, (inside, width) in zip(self.units, self.widths, strict=True):
            count += 9 * (before * inside + (units - 1) * width * inside + units * inside * width)
            count += before * width if before != width else 0
            before = width
        for width, _ in self.bottlenecks:
            count += before * (width // 4 + width) + 9 * (width // 4) * (width // 2)
            count += width // 2 * width
            before = width
        return count


PatchEncoder = ConvNextFacts | VitFacts | SwinFacts | ResNet38Facts


def _convnext(width: int, middle: int = 27) -> ConvNextFacts:
    widths = tuple(width << stage for stage in range(4))
    return ConvNextFacts(depths=(3, 3, middle, 3), widths=widths)


def _swin(width: int, middle: int, window: int, side: int) -> SwinFacts:
    heads = tuple((width // 32) << stage for stage in range(4))
    return SwinFacts(width=width, depths=(2, 2, middle, 2), heads=heads, window=window, side=side)


PATCH_ENCODERS: Mapping[str, PatchEncoder] = MappingProxyType(
    {
        "convnext_tiny": _convnext(96, 9),
        "convnext_small": _convnext(96),
        "convnext_base": _convnext(128),
        "vit_tiny_patch16": VitFacts(width=192, depth=12),
        "vit_small_patch16": VitFacts(width=384, depth=12),
        "vit_base_patch16": VitFacts(width=768, depth=12),
        "vit_base_patch32": VitFacts(width=768, depth=12, patch=32),
        "vit_large_patch16": VitFacts(width=1024, depth=24),
        "swin_tiny_window7": _swin(96, 6, 7, 224),
        "swin_small_window7": _swin(96, 18, 7, 224),
        "swin_base_window7": _swin(128, 18, 7, 224),
        "swin_base_window12": _swin(128, 18, 12, 384),
        "swin_large_window12": _swin(192, 18, 12, 384),
        "resnet38d": ResNet38Facts(
            units=(3, 3, 6, 3),
            widths=((128, 128), (256, 256), (512, 512), (512, 1024)),
            bottlenecks=((2048, 0.3), (4096, 0.5)),
            taps=("backbone.b4_5.add", "backbone.b5_2.add", "backbone.bn7.act"),
        ),
    }
)
