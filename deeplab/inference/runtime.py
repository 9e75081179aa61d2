"""What computes: TensorFlow, or on a CPU OpenVINO where its answers agree."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from deeplab.bundles.load import load_bundle
from deeplab.config.requests import Runtime, SegmentRequest
from deeplab.config.views import View
from deeplab.device import choose_device
from deeplab.errors import DeviceError
from deeplab.inference.openvino_runtime import OpenVino
from deeplab.models.family import Family
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES, PredictedMap

log = logging.getLogger(__name__)

AGREE = 0.998  # share of equal labels below which another runtime's rounding is not accepted

Tiles = NDArray[np.uint8]  # (n, tile, tile, 3)
Answers = dict[str, NDArray[Any]]


class Predict(Protocol):
    """Tiles to named maps."""

    def __call__(self, tiles: Tiles) -> Answers:
        """The maps of uint8 RGB tiles (n, tile, tile, 3)."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """A function on tiles and the name of what computes it."""

    runtime: str
    predict: Predict


def start_predictor(request: SegmentRequest, *, tile: int, sample: Tiles) -> Predictor:
    """Choose the device, load the model and choose what computes it.

    Args:
        request: names the model, the device and the runtime.
        tile: side of the tiles, work pixels.
        sample: a training crop of tissue, uint8 (1, crop, crop, 3).

    Raises:
        BundleError: the model cannot be used.
        DeviceError: the device or the runtime asked for is not there.
    """
    choose_device(request.gpu)
    bundle = load_bundle(request.model)
    maps: tuple[PredictedMap, ...] = (LABELS, CONFIDENCE)
    return make_predictor(
        bundle.family,
        bundle.network,
        tile=tile,
        maps=(*maps, PROBABILITIES) if request.save_heatmap else maps,
        runtime=request.runtime,
        sample=sample,
        views=request.views,
    )


def make_predictor(
    family: Family,
    network: keras.Model,
    *,
    tile: int,
    maps: Sequence[PredictedMap],
    runtime: Runtime,
    sample: Tiles,
    views: Sequence[View],
) -> Predictor:
    """The fastest runtime that is allowed and agrees with TensorFlow.

    Args:
        family: of the network.
        network: what computes.
        tile: side of the tiles, work pixels.
        maps: what is wanted of each tile.
        runtime: "auto" takes OpenVINO where it is installed, there is no GPU, and its labels of
            `sample` agree with TensorFlow's: on how many depends on the model, so it is tried.
        sample: tissue for that, uint8 (1, side, side, 3); a training crop of it is enough.
        views: how each tile is looked at.

    Raises:
        DeviceError: OpenVINO is asked for but is not installed, or does not agree.
    """
    graph = family.predictor(network, maps=maps, views=views)
    reference = tensorflow_predict(graph)
    if runtime == "tensorflow" or (runtime == "auto" and tf.config.get_visible_devices("GPU")):
        return Predictor("TensorFlow", reference)
    if find_spec("openvino"):
        wanted = np.asarray(graph(sample, training=False)[LABELS])
        converted = OpenVino(graph)
        for precision in ("bf16", "f32"):  # the faster first; a CPU may have no bfloat16
            found = converted.compiled(sample.shape[1], precision)(sample)
            agreement = float(np.mean(found[LABELS] == wanted))
            log.info("OpenVINO %s: %.4f of labels as TensorFlow's", precision, agreement)
            if agreement >= AGREE:
                return Predictor(f"OpenVINO {precision}", converted.compiled(tile, precision))
        problem = "answers differ from TensorFlow's; choose tensorflow"
    else:
        problem = "is not installed here; choose tensorflow, or install openvino"
    if runtime == "openvino":
        raise DeviceError(f"OpenVINO {problem}")
    return Predictor("TensorFlow", reference)


def tensorflow_predict(graph: keras.Model) -> Predict:
    """What TensorFlow makes of a predictor's graph.

    It is traced at its first call and again for a second tile size, and follows the network's
    weights as they change.
    """
    compiled = tf.function(lambda tiles: graph(tiles, training=False), reduce_retracing=True)

    def predict(tiles: Tiles) -> Answers:
        maps: Mapping[str, tf.Tensor] = compiled(tf.constant(tiles))
        return {name: values.numpy() for name, values in maps.items()}

    return predict
