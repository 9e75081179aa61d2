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

from deeplab.bundles.load import Bundle, load_bundle
from deeplab.config.requests import Runtime, SegmentRequest
from deeplab.config.views import View
from deeplab.device import choose_device
from deeplab.errors import DeviceError
from deeplab.inference.agreement import COMPARISONS
from deeplab.inference.decode import Decode, tile_decoder
from deeplab.inference.openvino_runtime import OpenVino
from deeplab.inference.trial import trial_tiles
from deeplab.models.answers import AnswerKind
from deeplab.models.family import Family
from deeplab.models.outputs import CONFIDENCE, LABELS, PROBABILITIES, PredictedMap

log = logging.getLogger(__name__)

TELLING = 0.99  # share of one label from which a trial says nothing of the others

Tiles = NDArray[np.uint8]  # (n, tile, tile, channels)
Answers = dict[str, NDArray[Any]]


class Predict(Protocol):
    """Tiles to named maps."""

    def __call__(self, tiles: Tiles) -> Answers:
        """The maps of uint8 tiles (n, tile, tile, channels)."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """How tiles are answered.

    Attributes:
        runtime: name of what computes.
        predict: tiles to maps.
        decode: the maps of one tile to its answer.
        answer: the kind of that.
    """

    runtime: str
    predict: Predict
    decode: Decode
    answer: AnswerKind


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
    return make_predictor(
        bundle,
        tile=tile,
        maps=_maps_to_ask_for(bundle.family, request),
        runtime=request.runtime,
        trial_side=trial_side,
        views=request.views,
    )


def _maps_to_ask_for(family: Family, request: SegmentRequest) -> tuple[PredictedMap, ...]:
    if family.decode:
        return ()  # it gives what it decodes
    return (LABELS, CONFIDENCE, *((PROBABILITIES,) if request.save_heatmap else ()))


def make_predictor(
    bundle: Bundle,
    *,
    tile: int,
    maps: Sequence[PredictedMap],
    runtime: Runtime,
    trial_side: int,
    views: Sequence[View],
) -> Predictor:
    """Return the fastest runtime that is allowed and agrees with TensorFlow.

    Args:
        bundle: the network and how it is read.
        tile: side of the tiles, work pixels.
        maps: what is wanted of each tile.
        runtime: "auto" takes OpenVINO where it is installed, there is no GPU, and its answers
            agree with TensorFlow's. On how many depends on the model and the processor, so it is
            tried on the same pictures each time: whatever slide they are for, all are computed
            alike.
        trial_side: side of the pictures for that; a training crop is enough.
        views: how each tile is looked at.

    Raises:
        DeviceError: OpenVINO is asked for but is not installed, or does not agree.
    """
    family = bundle.family
    graph = family.predictor(bundle.network, maps=maps, views=views)
    decode = tile_decoder(family, bundle.card.config)
    reference = Predictor("TensorFlow", tensorflow_predict(graph), decode, family.answer)
    if runtime == "tensorflow" or (runtime == "auto" and tf.config.get_visible_devices("GPU")):
        return reference
    if find_spec("openvino"):
        converted = OpenVino(graph)
        trial = trial_tiles(trial_side, bundle.card.config.channels)
        precision = _find_precision(converted, trial, reference)
        if precision:
            compiled = converted.compiled(tile, precision)
            return Predictor(f"OpenVINO {precision}", compiled, decode, family.answer)
        problem = "answers differ from TensorFlow's; choose tensorflow"
    else:
        problem = "is not installed here; choose tensorflow, or install openvino"
    if runtime == "openvino":
        raise DeviceError(f"OpenVINO {problem}")
    return reference


def _find_precision(converted: OpenVino, tiles: Tiles, reference: Predictor) -> str | None:
    """Return the first precision in which OpenVINO's answers agree with the reference's."""
    compare = COMPARISONS[reference.answer]
    # As a graph, since a network called eagerly keeps every map of it until it has answered.
    one_by_one = [reference.predict(tile[None]) for tile in tiles]
    wanted = {name: np.concatenate([maps[name] for maps in one_by_one]) for name in one_by_one[0]}
    answers = compare.answers(wanted, reference.decode)
    for precision in _precisions(compare.labels(answers)):
        found = converted.compiled(tiles.shape[1], precision)(tiles)
        agreements = compare.agreements(answers, compare.answers(found, reference.decode))
        for share, _, of in agreements:
            log.info("OpenVINO %s: %.4f of %s as TensorFlow's", precision, share, of)
        if all(share >= least for share, least, _ in agreements):
            return precision
    return None


def _precisions(labels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return what to try, the faster first; `labels` are those of the trial.

    Where a network finds next to nothing in the trial's pictures they say nothing of how well a
    coarser precision does on what it does find.
    """
    if np.bincount(labels.ravel()).max() >= TELLING * labels.size:
        log.info("one label on nearly all of the trial, so bfloat16 is not tried")
        return ("f32",)
    return ("bf16", "f32")  # a CPU may have no bfloat16


def tensorflow_predict(graph: keras.Model) -> Predict:
    """Return what TensorFlow makes of a predictor's graph.

    It is traced at its first call and again for a second tile size, and follows the network's
    weights as they change.
    """
    compiled = tf.function(lambda tiles: graph(tiles, training=False), reduce_retracing=True)

    def predict(tiles: Tiles) -> Answers:
        maps: Mapping[str, tf.Tensor] = compiled(tf.constant(tiles))
        return {name: values.numpy() for name, values in maps.items()}

    return predict
