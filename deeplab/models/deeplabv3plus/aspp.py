"""Atrous spatial pyramid pooling: the same features seen at several reaches."""

from __future__ import annotations

from keras import layers

from deeplab.config.models import DeepLabV3PlusConfig
from deeplab.models.layers.convolution import Norm, conv, separable
from deeplab.models.layers.resize import Tensor
from deeplab.models.layers.window_mean import WindowMean


def aspp(x: Tensor, config: DeepLabV3PlusConfig, norm: Norm) -> Tensor:
    """Features (n, h, w, c) to (n, h, w, aspp_filters).

    Branches are numbered, not named by rate: weights trained at 6, 12, 18 may go on at 12, 24, 36.
    """
    filters = config.aspp_filters
    pooled = WindowMean(config.pooling_cells, name="image_pooling.mean")(x)
    branches = [
        conv(pooled, filters, name="image_pooling", norm=norm, activation="relu"),
        conv(x, filters, name="aspp.point", norm=norm, activation="relu"),
    ]
    for index, rate in enumerate(config.atrous_rates, start=1):
        branch = separable(
            x, filters, name=f"aspp.atrous_{index}", norm=norm, rate=rate, activation="relu"
        )
        branches.append(branch)
    x = layers.Concatenate(name="aspp.concat")(branches)
    x = conv(x, filters, name="aspp.project", norm=norm, activation="relu")
    return layers.Dropout(config.dropout, name="aspp.dropout")(x)
