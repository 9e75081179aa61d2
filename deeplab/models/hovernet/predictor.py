"""What decoding needs of HoVer-Net's outputs, made inside the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

from deeplab.config.views import AS_IT_IS, View
from deeplab.errors import ConfigError
from deeplab.models.dense.decode import Likeliest, trimmed
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
    _check_maps(maps)
    if tuple(views) != AS_IT_IS:
        raise ConfigError("views", len(views), "one, as it is, for a network of nuclei")
    rgb = keras.Input((tile, tile, network.input.shape[-1]), dtype="uint8", name="rgb")
    return keras.Model(rgb, _answers(network(rgb)), name="predictor")


def trimming_predictor(network: keras.Model, *, maps: Sequence[PredictedMap] = ()) -> keras.Model:
    """Return what `predictor` does, but for a graph that answers the middle of its tiles.

    Beside tiles "rgb" it takes "trim", int32 (): the pixels at each side of a tile that need no
    answer, whole cells of the coarsest map. The decoders do not run there.

    Raises:
        ConfigError: a map is asked for that it has not.
    """
    _check_maps(maps)
    inputs, outputs = trimmed(network, corners=False)
    return keras.Model(inputs, _answers(outputs), name="predictor")


def _check_maps(maps: Sequence[PredictedMap]) -> None:
    if maps:
        raise ConfigError("maps", tuple(maps), "none: a network of nuclei gives those of its own")


def _answers(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    answers = {"np": Probability(name="np")(outputs["np"]), "hv": outputs["hv"]}
    if "tp" in outputs:
        answers["tp"] = Likeliest(name="tp")(outputs["tp"])
    return answers
