"""Every backbone, one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from deeplab.models.backbones.mobilenet_v2 import mobilenet_v2
from deeplab.models.backbones.mobilenet_v3 import EDGETPU, LARGE_SEG, SMALL_SEG, mobilenet_v3
from deeplab.models.backbones.nas import HNASNET, PNASNET, nas
from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid
from deeplab.models.backbones.resnet_v1 import (
    PLAIN_STEM,
    RESNET_V1_18,
    RESNET_V1_18_BETA,
    RESNET_V1_50,
    RESNET_V1_50_BETA,
    RESNET_V1_101,
    RESNET_V1_101_BETA,
    resnet_v1,
)
from deeplab.models.backbones.xception import (
    XCEPTION_41,
    XCEPTION_65,
    XCEPTION_71,
    xception,
)
from deeplab.models.layers.resize import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """What becomes of RGB values 0 to 255: times `scale`, plus `offset` by channel."""

    scale: float
    offset: tuple[float, float, float]


UNIT_RANGE = Normalisation(scale=2.0 / 255.0, offset=(-1.0, -1.0, -1.0))
# The mean of ImageNet's pixels, as the networks learnt that were first trained in Caffe.
MEAN_SUBTRACTED = Normalisation(scale=1.0, offset=(-123.15, -115.90, -103.06))


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """One row: how to build it and what it promises.

    Attributes:
        build: Tiles (n, h, w, 3), normalised, to a pyramid.
        channels: Channels of the last map at depth multiplier 1, by the output strides it can have.
        tap_channels: Channels of the low-level map at each stride, at depth multiplier 1.
        paper: Where it was published.
        normalisation: What is done to RGB tiles before `build` gets them.
    """

    build: Callable[[Tensor, BackboneOptions], Pyramid]
    channels: Mapping[int, int]
    tap_channels: Mapping[int, int]
    paper: str
    normalisation: Normalisation = UNIT_RANGE


def _always(channels: int) -> Mapping[int, int]:
    """The same channels at every output stride."""
    return MappingProxyType(dict.fromkeys((8, 16, 32), channels))


BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {
        "mobilenet_v2": Backbone(
            build=mobilenet_v2,
            channels=_always(320),
            tap_channels={4: 144, 8: 192},
            paper="arXiv:1801.04381",
        ),
        "mobilenet_v3_large_seg": Backbone(
            build=partial(mobilenet_v3, layout=LARGE_SEG),
            channels=_always(480),
            tap_channels={4: 72, 8: 120},
            paper="arXiv:1905.02244",
        ),
        "mobilenet_v3_small_seg": Backbone(
            build=partial(mobilenet_v3, layout=SMALL_SEG),
            channels=_always(288),
            tap_channels={4: 16, 8: 88},
            paper="arXiv:1905.02244",
        ),
        "mobilenet_edgetpu": Backbone(
            build=partial(mobilenet_v3, layout=EDGETPU),
            channels=_always(1280),
            tap_channels={4: 128, 8: 192},
            paper="arXiv:2003.02838",
        ),
        "nas_pnasnet": Backbone(
            build=partial(nas, layout=PNASNET),
            channels={8: 200, 16: 400, 32: 800},
            tap_channels={4: 128, 8: 200},
            paper="arXiv:1712.00559",
        ),
        "nas_hnasnet": Backbone(
            build=partial(nas, layout=HNASNET),
            channels={8: 200},
            tap_channels={4: 100, 8: 200},
            paper="arXiv:1901.02985",
        ),
        **{
            name: Backbone(
                build=partial(resnet_v1, layout=layout),
                channels=_always(512 * layout.expansion),
                tap_channels={4: 64 * layout.expansion, 8: 128 * layout.expansion},
                paper="arXiv:1512.03385",
                normalisation=MEAN_SUBTRACTED if layout.stem == PLAIN_STEM else UNIT_RANGE,
            )
            for name, layout in (
                ("resnet_v1_18", RESNET_V1_18),
                ("resnet_v1_18_beta", RESNET_V1_18_BETA),
                ("resnet_v1_50", RESNET_V1_50),
                ("resnet_v1_50_beta", RESNET_V1_50_BETA),
                ("resnet_v1_101", RESNET_V1_101),
                ("resnet_v1_101_beta", RESNET_V1_101_BETA),
            )
        },
        **{
            name: Backbone(
                build=partial(xception, layout=layout),
                channels=_always(2048),
                tap_channels={4: 256, 8: 728},
                paper="arXiv:1610.02357",
            )
            for name, layout in (
                ("xception_41", XCEPTION_41),
                ("xception_65", XCEPTION_65),
                ("xception_71", XCEPTION_71),
            )
        },
    }
)
