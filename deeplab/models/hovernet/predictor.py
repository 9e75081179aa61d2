"""What decoding needs of HoVer-Net's outputs, made inside the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from deeplab.config.views import AS_IT_IS, View
from deeplab.errors import ConfigError
from deeplab.models.dense.decode import Likeliest
from deeplab.models.layers.resize import Tensor
from deeplab.models.outputs import PredictedMap


@keras.saving.register_keras_serializable(package="deeplab")
class Probability(layers.Layer):  # type: ignore[misc]  # keras has no types
    """Probability of the second of two logits."""

    def call(self, logits: Tensor) -> Tensor:
        """Logits (n, h, w, 2) to float32 (n, h, w)."""
        # What softmax gives for two, without its passes over the map.
        return ops.sigmoid(logits[..., 1] - logits[..., 0])

    def compute_output_spec(self, logits: Tensor) -> Any:  # noqa: ANN401  keras has no types
        """Shape and type of the result."""
        return keras.KerasTensor(logits.shape[:-1], "float32")


def predictor(
    network: keras.Model,
    *,
    tile: int | None = None,
    maps: Sequence[PredictedMap] = (),
    views: Sequence[View] = AS_IT_IS,
) -> keras.Model:
    """Return a graph of the network: uint8 RGB (n, tile, tile, 3) in, what `decode` takes out.

    That is "np", probability of a nucleus, float32 (n, h, w); "hv" float32 (n, h, w, 2); and, where
    the network tells types apart, "tp", the likeliest type of each pixel, uint8 (n, h, w).

    Raises:
        ConfigError: a map is asked for that it has not, or tiles in more than one view.
    """
    if maps:
        raise ConfigError("maps", tuple(maps), "none: a network of nuclei gives those of its own")
    if tuple(views) != AS_IT_IS:
        raise ConfigError("views", len(views), "one, as it is, for a network of nuclei")
    rgb = keras.Input((tile, tile, network.input.shape[-1]), dtype="uint8", name="rgb")
    outputs = network(rgb)
    answers = {"np": Probability(name="np")(outputs["np"]), "hv": outputs["hv"]}
    if "tp" in outputs:
        answers["tp"] = Likeliest(name="tp")(outputs["tp"])
    return keras.Model(rgb, answers, name="predictor")
