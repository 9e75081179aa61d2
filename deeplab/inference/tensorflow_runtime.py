"""TensorFlow as what computes, and as what converts a graph for another runtime."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from deeplab.bundles.load import Bundle, load_bundle
from deeplab.device import choose_device
from deeplab.errors import DeeplabError
from deeplab.inference.conversions import GRAPH, write_answers
from deeplab.inference.openvino_runtime import write_graph
from deeplab.inference.predictor import GraphSpec
from deeplab.inference.stream import BatchMaps, Predict, Tiles
from deeplab.inference.trial import trial_tiles

REFUSED = 2  # exit status: the last line of the output says what, as JSON


def tensorflow_predict(graph: keras.Model, trim: int = 0) -> Predict:
    """Return what TensorFlow makes of a predictor's graph.

    `trim` pixels at each side of a tile are not answered, if that is a graph that can do so.

    It is traced at its first call and again for a second tile size, and follows the network's
    weights as they change. It raises MemoryError where memory does not suffice.
    """
    compiled = tf.function(lambda told: graph(told, training=False), reduce_retracing=True)
    trims = len(graph.inputs) > 1

    def predict(tiles: Tiles) -> BatchMaps:
        rgb = tf.constant(tiles)
        try:
            maps: Mapping[str, tf.Tensor] = compiled([rgb, tf.constant(trim)] if trims else rgb)
            return {name: values.numpy() for name, values in maps.items()}
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(error.message) from None  # its frames would hold what was allocated

    return predict


def load_predict(spec: GraphSpec, trim: int) -> Predict:
    """Return what TensorFlow makes of the graph of a model in a file; see `tensorflow_predict`.

    Raises:
        BundleError, ConfigError: the model cannot be used, or not so.
    """
    return tensorflow_predict(_graph(load_bundle(spec.model), spec), trim)


def convert(spec: GraphSpec, folder: Path) -> None:
    """Write the graph of a model as OpenVINO reads it, and TensorFlow's answers on the trial.

    Raises:
        BundleError, ConfigError: the model cannot be used, or not so.
        OSError: the folder cannot be written.
    """
    bundle = load_bundle(spec.model)
    graph = _graph(bundle, spec)
    predict = tensorflow_predict(graph)
    # One by one, and as a graph: a network called eagerly keeps every map until it has answered.
    tiles = trial_tiles(spec.trial_side, bundle.card.config.channels)
    one_by_one = [predict(tile[None]) for tile in tiles]
    answers = {name: np.concatenate([maps[name] for maps in one_by_one]) for name in one_by_one[0]}
    write_answers(folder, tiles, answers)
    write_graph(graph, folder / GRAPH)


def _graph(bundle: Bundle, spec: GraphSpec) -> keras.Model:
    config = bundle.card.config
    return bundle.family.tile_graph(config, bundle.network, maps=spec.maps, views=spec.views)


def main() -> int:
    """Convert as the arguments say, a GraphSpec as JSON and a folder; return the exit status."""
    try:
        choose_device(-1)
        convert(GraphSpec.from_json(json.loads(sys.argv[1])), Path(sys.argv[2]))
    except DeeplabError as error:
        sys.stdout.write(json.dumps([type(error).__name__, *error.args], default=str) + "\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
