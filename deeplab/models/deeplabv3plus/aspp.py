"""Atrous spatial pyramid pooling: the same features seen at several reaches."""

from __future__ import annotations

from keras import layers

from deeplab.config.deeplabv3plus import DeepLabV3PlusConfig
from deeplab.models.layers.activations import hard_gate
from deeplab.models.layers.convolution import Norm, conv, separable
from deeplab.models.layers.resize import Tensor
from deeplab.models.layers.window_mean import WindowMean, WindowPlaces

GATES = {"gate": "sigmoid", "hard_gate": hard_gate}


def aspp(x: Tensor, config: DeepLabV3PlusConfig, norm: Norm) -> Tensor:
    """Features (n, h, w, c) to (n, h, w, aspp_filters), or to as many for each branch.

    Branches are numbered, not named by rate: weights trained at 6, 12, 18 may go on at 12, 24, 36.
    """
    filters = config.aspp_filters
    branches = [_image_level(x, config, norm)] if config.image_pooling == "branch" else []
    branches.append(conv(x, filters, name="aspp.point", norm=norm, activation="relu"))
    for index, rate in enumerate(config.atrous_rates, start=1):
        name = f"aspp.atrous_{index}"
        if config.convolutions == "full":
            branch = conv(x, filters, name=name, norm=norm, kernel=3, rate=rate, activation="relu")
        else:
            branch = separable(x, filters, name=name, norm=norm, rate=rate, activation="relu")
        branches.append(branch)
    out = branches[0] if len(branches) == 1 else layers.Concatenate(name="aspp.concat")(branches)
    if config.aspp_merge == "project":
        out = conv(out, filters, name="aspp.project", norm=norm, activation="relu")
        out = layers.Dropout(config.dropout, name="aspp.dropout")(out)
    if config.image_pooling in GATES:
        out = layers.Multiply(name="aspp.gated")([out, _image_level(x, config, norm)])
    return out


def _image_level(x: Tensor, config: DeepLabV3PlusConfig, norm: Norm) -> Tensor:
    """Return what is around each cell, seen as a whole: (n, h, w, aspp_filters), branch or gate."""
    name, cells = "image_pooling", config.pooling_cells
    out = WindowMean(cells, name=f"{name}.mean")(x)
    if config.image_pooling in GATES:
        out = layers.Conv2D(config.aspp_filters, 1, name=name)(out)
        out = layers.Activation(GATES[config.image_pooling], name=f"{name}.act")(out)
    else:
        out = conv(out, config.aspp_filters, name=name, norm=norm, activation="relu")
    down, across = config.pooling_strides
    places = WindowPlaces(
        cells, span=config.crop_cells, strides=(down, across), name=f"{name}.places"
    )
    return places([out, x])
