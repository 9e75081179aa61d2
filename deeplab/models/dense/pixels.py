"""Networks within another one, which they are given float pixels by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from deeplab.config.network import NetworkConfig
from deeplab.models.family import member_scope
from deeplab.models.layers.resize import Tensor


def of_pixels(network: keras.Model, output: str, name: str) -> keras.Model:
    """Return an output of a network as a graph of float32 pixels 0 to 255, with the same weights.

    Views of other scales are no longer uint8, as the network's own input is.

    Args:
        network: has a layer "normalisation" behind its input.
        output: which of its maps.
        name: of the graph.
    """
    normalisation = network.get_layer("normalisation")
    trunk = keras.Model(normalisation.output, network.output[output], name="trunk")
    pixels = keras.Input(network.input.shape[1:], dtype="float32", name="pixels")
    return keras.Model(pixels, trunk(normalisation(pixels)), name=name)


def outputs_of_members(
    members: Sequence[NetworkConfig],
    build_member: Callable[[NetworkConfig], keras.Model],
    pixels: Tensor,
    output: str,
) -> list[Tensor]:
    """Return one output of each of several networks that are given the same pixels.

    Args:
        members: configs of the networks; the weights of each are within its `member_scope`.
        build_member: a config to its network.
        pixels: float32 (n, h, w, channels), 0 to 255.
        output: which of their maps.
    """
    outputs = []
    for number, member in enumerate(members, start=1):
        with keras.name_scope(member_scope(number)):
            network = build_member(member)
        outputs.append(of_pixels(network, output, member_scope(number))(pixels))
    return outputs
