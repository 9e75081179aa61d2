"""Gates of channels by their means over a window: squeeze and excitation that no tile can change.

Hu et al. 2018, arXiv:1709.01507. The originals' means are over the whole tile. Over a window of the
training crop's size they are the same in training, and in a slide they do not change with the tile.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import layers

from deeplab.models.layers.resize import Tensor
from deeplab.models.layers.window_mean import WindowMean, WindowPlaces

SHARE = 16  # times fewer channels between the convolutions of scSE

Function = Callable[[Tensor], Tensor] | str  # an activation, or Keras' name of one


def channel_gate(
    x: Tensor,
    *,
    name: str,
    squeezed: int,
    cells: int,
    activation: Function = "relu",
    gate: Function = "sigmoid",
) -> Tensor:
    """Return the gates of the channels of a map, at every place: (n, h, w, c) from 0 to 1.

    Args:
        x: The map (n, h, w, c).
        name: What the names of the layers begin with.
        squeezed: Channels between the two convolutions.
        cells: Side of the window that the means are over, in cells of the map.
        activation: After the first convolution.
        gate: After the second.
    """
    gates = WindowMean(cells, name=f"{name}.mean")(x)
    gates = layers.Conv2D(squeezed, 1, activation=activation, name=f"{name}.squeeze")(gates)
    gates = layers.Conv2D(x.shape[-1], 1, name=f"{name}.excite")(gates)
    gates = layers.Activation(gate, name=f"{name}.gate")(gates)
    return WindowPlaces(cells, span=cells, name=f"{name}.places")([gates, x])


def scse(x: Tensor, *, name: str, cell: int, cells: int) -> Tensor:
    """Return a map gated by its channels' means and, place by place, by its own values.

    Concurrent spatial and channel squeeze and excitation (Roy et al. 2018, arXiv:1803.02579): the
    two gated maps are added. Means are first taken in blocks, for a gate hardly changes within one,
    and windows at every pixel would take longer than all convolutions.

    Args:
        x: The map (n, h, w, c), whose sides are multiples of `cell`.
        name: What the names of the layers begin with.
        cell: Side of a block, in cells of the map.
        cells: Side of the window, in blocks.
    """
    blocks = x if cell == 1 else layers.AveragePooling2D(cell, name=f"{name}.blocks")(x)
    gates = channel_gate(blocks, name=name, squeezed=max(1, x.shape[-1] // SHARE), cells=cells)
    if cell > 1:
        gates = layers.UpSampling2D(cell, name=f"{name}.up")(gates)
    places = layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}.space")(x)
    return layers.Multiply(name=f"{name}.gated")(
        [x, layers.Add(name=f"{name}.add")([gates, places])]
    )
