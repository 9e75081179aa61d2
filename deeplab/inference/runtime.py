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
from deeplab.inference.trial import trial_tiles
from deeplab.models.family import Family
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES, PredictedMap

log = logging.getLogger(__name__)

# Share of equal labels on the trial below which another runtime's rounding is not accepted. Slides
# then agree by 0.998: the worst of 21 pictures was 0.0009 below the trial.
AGREE = 0.999
TELLING = 0.99  # share of one label from which a trial says nothing of the others

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


def start_predictor(request: SegmentRequest, *, tile: int, trial_side: int) -> Predictor:
    """Choose the device, load the model and choose what computes it.

    Args:
        request: names the model, the device and the runtime.
        tile: side of the tiles, work pixels.
        trial_side: side of the tiles on which a runtime is tried, about a training crop.

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
        trial_side=trial_side,
        views=request.views,
    )


def make_predictor(
    family: Family,
    network: keras.Model,
    *,
    tile: int,
    maps: Sequence[PredictedMap],
    runtime: Runtime,
    trial_side: int,
    views: Sequence[View],
) -> Predictor:
    """The fastest runtime that is allowed and agrees with TensorFlow.

    Args:
        family: of the network.
        network: what computes.
        tile: side of the tiles, work pixels.
        maps: what is wanted of each tile.
        runtime: "auto" takes OpenVINO where it is installed, there is no GPU, and its labels agree
            with TensorFlow's. On how many hangs on the model and the processor, so it is tried on
            the same pictures each time: whatever slide they are for, all are computed alike.
        trial_side: side of the pictures for that; a training crop is enough.
        views: how each tile is looked at.

    Raises:
        DeviceError: OpenVINO is asked for but is not installed, or does not agree.
    """
    graph = family.predictor(network, maps=maps, views=views)
    reference = tensorflow_predict(graph)
    if runtime == "tensorflow" or (runtime == "auto" and tf.config.get_visible_devices("GPU")):
        return Predictor("TensorFlow", reference)
    if find_spec("openvino"):
        converted = OpenVino(graph)
        tiles = trial_tiles(trial_side)
        wanted = np.concatenate([graph(tile[None], training=False)[LABELS] for tile in tiles])
        for precision in _precisions(wanted):
            found = converted.compiled(trial_side, precision)(tiles)
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


def _precisions(labels: NDArray[np.uint8]) -> tuple[str, ...]:
    """What to try, the faster first; `labels` are those of the trial.

    Where a network finds next to nothing in the trial's pictures they say nothing of how well a
    coarser precision does on what it does find.
    """
    if np.bincount(labels.ravel()).max() >= TELLING * labels.size:
        log.info("one label on nearly all of the trial, so bfloat16 is not tried")
        return ("f32",)
    return ("bf16", "f32")  # a CPU may have no bfloat16


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
