"""How every backbone is built; what is known of it stands in `deeplab.config.backbones`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from deeplab.models.backbones.efficientnet import LAYOUTS as EFFICIENTNETS
from deeplab.models.backbones.efficientnet import efficientnet
from deeplab.models.backbones.efficientnet_lite import efficientnet_lite0
from deeplab.models.backbones.mobilenet_v2 import mobilenet_v2
from deeplab.models.backbones.mobilenet_v3 import EDGETPU, LARGE_SEG, SMALL_SEG, mobilenet_v3
from deeplab.models.backbones.nas import HNASNET, PNASNET, nas
from deeplab.models.backbones.preact_resnet import preact_resnet50
from deeplab.models.backbones.pyramid import BackboneOptions, Pyramid
from deeplab.models.backbones.resnet import (
    RESNET_18,
    RESNET_34,
    RESNET_50,
    RESNET_101,
    resnet,
)
from deeplab.models.backbones.resnet_v1 import (
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

# Tiles (n, h, w, c), normalised, to a pyramid.
Build = Callable[[Tensor, BackboneOptions], Pyramid]
TIMM = "timm_"  # how the names of networks begin that are computed as timm does

BUILD: Mapping[str, Build] = MappingProxyType(
    {
        **{
            name: partial(efficientnet, layout=EFFICIENTNETS[name])
            for name in EFFICIENTNETS
            if not name.startswith(TIMM)
        },
        "efficientnet_lite0": efficientnet_lite0,
        "mobilenet_v2": mobilenet_v2,
        "mobilenet_v3_large_seg": partial(mobilenet_v3, layout=LARGE_SEG),
        "mobilenet_v3_small_seg": partial(mobilenet_v3, layout=SMALL_SEG),
        "mobilenet_edgetpu": partial(mobilenet_v3, layout=EDGETPU),
        "nas_pnasnet": partial(nas, layout=PNASNET),
        "nas_hnasnet": partial(nas, layout=HNASNET),
        "preact_resnet50": preact_resnet50,
        "resnet_18": partial(resnet, layout=RESNET_18),
        "resnet_34": partial(resnet, layout=RESNET_34),
        "resnet_50": partial(resnet, layout=RESNET_50),
        "resnet_101": partial(resnet, layout=RESNET_101),
        "resnet_v1_18": partial(resnet_v1, layout=RESNET_V1_18),
        "resnet_v1_18_beta": partial(resnet_v1, layout=RESNET_V1_18_BETA),
        "resnet_v1_50": partial(resnet_v1, layout=RESNET_V1_50),
        "resnet_v1_50_beta": partial(resnet_v1, layout=RESNET_V1_50_BETA),
        "resnet_v1_101": partial(resnet_v1, layout=RESNET_V1_101),
        "resnet_v1_101_beta": partial(resnet_v1, layout=RESNET_V1_101_BETA),
        **{
            name: partial(efficientnet, layout=EFFICIENTNETS[name])
            for name in EFFICIENTNETS
            if name.startswith(TIMM)
        },
        "xception_41": partial(xception, layout=XCEPTION_41),
        "xception_65": partial(xception, layout=XCEPTION_65),
        "xception_71": partial(xception, layout=XCEPTION_71),
    }
)
