"""What is known of every backbone before one is built: one row of facts each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Literal

from deeplab.config.channels import Channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """What becomes of pixel values 0 to 255: times `scale`, plus `offset`, by channel."""

    scale: float | tuple[float, ...]
    offset: tuple[float, ...]

    def of(self, channels: Channels) -> Normalisation:
        """Return what is done to these channels: to others than colours, the mean of theirs."""
        if channels.are_colours:
            return self
        scale = self.scale if isinstance(self.scale, float) else fmean(self.scale)
        return Normalisation(scale=scale, offset=(fmean(self.offset),) * len(channels))


UNIT_RANGE = Normalisation(scale=2.0 / 255.0, offset=(-1.0, -1.0, -1.0))
ZERO_TO_ONE = Normalisation(scale=1.0 / 255.0, offset=(0.0, 0.0, 0.0))
# The mean of ImageNet's pixels, as the networks learnt that were first trained in Caffe.
MEAN_SUBTRACTED = Normalisation(scale=1.0, offset=(-123.15, -115.90, -103.06))

# What TensorFlow's EfficientNet-Lite learnt with.
AROUND_127 = Normalisation(scale=1.0 / 128.0, offset=(-127.0 / 128.0,) * 3)
# Mean and standard deviation of ImageNet's pixels, of values 0 to 1, as in torchvision.
_MEANS, _DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STANDARDISED = Normalisation(
    scale=tuple(1.0 / (255.0 * deviation) for deviation in _DEVIATIONS),
    offset=tuple(-mean / by for mean, by in zip(_MEANS, _DEVIATIONS, strict=True)),
)


# What a network does to pixels: as its backbone learnt on ImageNet, or 0 to 255 to 0 to 1 alone.
Pixels = Literal["backbone", "zero_to_one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneFacts:
    """One row: what a backbone promises.

    Attributes:
        channels: Channels of the last map at depth multiplier 1, by the output strides it can have.
        taps: Channels of the map at each finer stride, at depth multiplier 1; that of stride 16
            is not there at output stride 8.
        atrous: Whether a decoder that begins at stride 16 is given the last map, run atrous at that
            stride, and not the tap: all layers serve it. Otherwise what comes after the tap is
            left out, as in published networks of that depth.
        paper: Where it was published.
        normalisation: What is done to pixels before it gets them.
        multi_grid_rates: How many rates a multi-grid has: one a unit of resnet's last block, one a
            convolution of xception's; 0 for none.
        widths: Whether a depth multiplier sets its width.
        inner_stride: The stride of the coarsest map where that lies within the backbone, else 0.
        gated: Whether means over the training crop gate its features, so that it looks half a
            crop far.
        far: Whether kernels of 5 x 5 or very many blocks make it look farther than others do.
    """

    channels: Mapping[int, int]
    taps: Mapping[int, int]
    paper: str
    normalisation: Normalisation = UNIT_RANGE
    multi_grid_rates: int = 0
    widths: bool = False
    inner_stride: int = 0
    gated: bool = False
    atrous: bool = False
    far: bool = False

    @property
    def only_stride(self) -> int | None:
        """The output stride of a backbone that has one only."""
        return next(iter(self.channels)) if len(self.channels) == 1 else None


def _always(channels: int) -> Mapping[int, int]:
    """Return the same channels at every output stride."""
    return MappingProxyType(dict.fromkeys((8, 16, 32), channels))


def _mobilenet(
    channels: int, *, taps: tuple[int, int, int, int], paper: str, gated: bool = False
) -> BackboneFacts:
    return BackboneFacts(
        channels=_always(channels),
        taps=dict(zip((2, 4, 8, 16), taps, strict=True)),
        paper=paper,
        widths=True,
        gated=gated,
        atrous=True,
    )


def _resnet_v1(
    expansion: int, *, units: int, stem: int = 64, normalisation: Normalisation
) -> BackboneFacts:
    """Return a resnet of DeepLab's: `units` in the last block, channels times `expansion`."""
    return BackboneFacts(
        channels=_always(512 * expansion),
        taps={2: stem, 4: 64 * expansion, 8: 128 * expansion, 16: 256 * expansion},
        paper="arXiv:1512.03385",
        normalisation=normalisation,
        multi_grid_rates=units,
        atrous=True,
    )


def _resnet(expansion: int, *, units: int = 3) -> BackboneFacts:
    """Return a resnet in ImageNet's layout: see `_resnet_v1`."""
    return BackboneFacts(
        channels=_always(512 * expansion),
        taps={2: 64, 4: 64 * expansion, 8: 128 * expansion, 16: 256 * expansion},
        paper="arXiv:1512.03385",
        normalisation=STANDARDISED,
        multi_grid_rates=units,
    )


# Of each size, channels at strides 2, 4, 8, 16 and of the last map.
_Widths = tuple[tuple[int, int, int, int, int], ...]


def _efficientnets(prefix: str) -> dict[str, BackboneFacts]:
    """Return EfficientNet-B0 to B7."""
    channels: _Widths = (
        *((32, 24, 40, 112, 320), (32, 24, 40, 112, 320), (32, 24, 48, 120, 352)),
        *((40, 32, 48, 136, 384), (48, 32, 56, 160, 448), (48, 40, 64, 176, 512)),
        *((56, 40, 72, 200, 576), (64, 48, 80, 224, 640)),
    )
    return _inverted_residuals(f"{prefix}efficientnet_b", channels, gated=True)


def _timm_lites() -> dict[str, BackboneFacts]:
    """Return EfficientNet-Lite0 to Lite4 as timm computes them."""
    channels: _Widths = (
        *((32, 24, 40, 112, 320), (32, 24, 40, 112, 320), (32, 24, 48, 120, 352)),
        *((32, 32, 48, 136, 384), (32, 32, 56, 160, 448)),
    )
    return _inverted_residuals("timm_efficientnet_lite", channels, gated=False)


def _inverted_residuals(name: str, channels: _Widths, *, gated: bool) -> dict[str, BackboneFacts]:
    return {
        f"{name}{size}": BackboneFacts(
            channels=_always(last),
            taps=dict(zip((2, 4, 8, 16), taps, strict=True)),
            paper="arXiv:1905.11946",
            normalisation=STANDARDISED,
            gated=gated,
            far=True,
        )
        for size, (*taps, last) in enumerate(channels)
    }


_XCEPTION = BackboneFacts(
    channels=_always(2048),
    taps={2: 64, 4: 256, 8: 728, 16: 1024},
    paper="arXiv:1610.02357",
    multi_grid_rates=3,
    atrous=True,
    far=True,
)
_MOBILENET_V3, _EDGETPU = "arXiv:1905.02244", "arXiv:2003.02838"

BACKBONES: Mapping[str, BackboneFacts] = MappingProxyType(
    {
        **_efficientnets(""),
        "efficientnet_lite0": BackboneFacts(
            channels=_always(320),
            taps={2: 16, 4: 24, 8: 40, 16: 112},
            paper="arXiv:1905.11946",
            normalisation=AROUND_127,
            atrous=True,
            far=True,
        ),
        "mobilenet_v2": _mobilenet(320, taps=(16, 144, 192, 576), paper="arXiv:1801.04381"),
        "mobilenet_v3_large_seg": _mobilenet(
            480, taps=(16, 72, 120, 672), paper=_MOBILENET_V3, gated=True
        ),
        "mobilenet_v3_small_seg": _mobilenet(
            288, taps=(16, 16, 88, 144), paper=_MOBILENET_V3, gated=True
        ),
        "mobilenet_edgetpu": _mobilenet(1280, taps=(32, 128, 192, 384), paper=_EDGETPU),
        "nas_pnasnet": BackboneFacts(
            channels={8: 200, 16: 400, 32: 800},
            taps={4: 128, 8: 200},
            paper="arXiv:1712.00559",
            widths=True,
        ),
        "nas_hnasnet": BackboneFacts(
            channels={8: 200},
            taps={4: 100, 8: 200},
            paper="arXiv:1901.02985",
            widths=True,
            inner_stride=32,
        ),
        "preact_resnet50": BackboneFacts(
            channels={8: 2048},
            taps={1: 256, 2: 512, 4: 1024},
            paper="arXiv:1603.05027",
            normalisation=ZERO_TO_ONE,
        ),
        "resnet_18": _resnet(1, units=2),
        "resnet_34": _resnet(1),
        "resnet_50": _resnet(4),
        "resnet_101": _resnet(4),
        "resnet_v1_18": _resnet_v1(1, units=2, normalisation=MEAN_SUBTRACTED),
        "resnet_v1_18_beta": _resnet_v1(1, units=2, stem=32, normalisation=UNIT_RANGE),
        "resnet_v1_50": _resnet_v1(4, units=3, normalisation=MEAN_SUBTRACTED),
        "resnet_v1_50_beta": _resnet_v1(4, units=3, stem=128, normalisation=UNIT_RANGE),
        "resnet_v1_101": _resnet_v1(4, units=3, normalisation=MEAN_SUBTRACTED),
        "resnet_v1_101_beta": _resnet_v1(4, units=3, stem=128, normalisation=UNIT_RANGE),
        **_efficientnets("timm_"),
        **_timm_lites(),
        "xception_41": _XCEPTION,
        "xception_65": _XCEPTION,
        "xception_71": _XCEPTION,
    }
)


def pixel_normalisation(backbone: str, pixels: Pixels, channels: Channels) -> Normalisation:
    """Return what a network of a backbone does to pixel values, by channel.

    Of other channels than red, green and blue each is taken for the mean of these.
    """
    told = ZERO_TO_ONE if pixels == "zero_to_one" else BACKBONES[backbone].normalisation
    return told.of(channels)
