"""A graph of Keras as OpenVINO computes it, by way of a file as in a run."""

import tempfile
from pathlib import Path

from deeplab.inference.openvino_runtime import OpenVino, write_graph


def openvino_predict(graph, side, precision="f32", trim=0):
    """Return what predicts tiles of a side."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.xml")
        write_graph(graph, path)
        return OpenVino(path).compiled(side, precision, trim)
