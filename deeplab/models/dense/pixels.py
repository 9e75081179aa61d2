"""A network within another one, which it is given float pixels by."""

from __future__ import annotations

import keras


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
