"""OpenVINO as what computes: loaded without its telemetry, a graph converted once for it."""

from __future__ import annotations

import os
import sys
import warnings
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deeplab.cores import usable_cores

if TYPE_CHECKING:
    import keras

TELEMETRY = "openvino_telemetry"
CPU = "CPU"


def load_openvino() -> ModuleType:
    """Return the package `openvino`, which from here on asks no server and writes no id.

    It imports `openvino_telemetry`, which it requires, and with that tells an analytics server of
    every import and conversion. Where that package is absent, OpenVINO takes a stub of its own:
    so it is made absent in this process. Somebody who has loaded it before us gets the stub, too.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    loaded = sys.modules.get(TELEMETRY)
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say "absent"
    import openvino  # noqa: PLC0415  an optional package, and not before the line above

    if loaded is not None:
        from openvino.tools.ovc import telemetry_stub  # noqa: PLC0415

        loaded.Telemetry = telemetry_stub.Telemetry  # type: ignore[attr-defined]
    package: ModuleType = openvino
    return package


def write_graph(graph: keras.Model, path: Path) -> None:
    """Write a graph as OpenVINO reads it: `path`, an .xml, and its weights beside it, a .bin.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    openvino = load_openvino()
    with warnings.catch_warnings():
        # The converter hands over the tile in a tuple, which Keras takes but remarks on.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(graph)
    for output in model.outputs:
        # Where a last layer computes nothing, the tensor has the name of what is before it, too.
        output.get_tensor().set_names(output.names & graph.output.keys())
    openvino.save_model(model, path, compress_to_fp16=False)


class OpenVino:
    """A graph in a file, to be compiled for tiles of several sizes."""

    def __init__(self, path: Path) -> None:
        openvino = load_openvino()
        self._core, self._constant = openvino.Core(), openvino.opset13.constant
        self._path = path

    def compiled(self, side: int, precision: str, trim: int = 0) -> CompiledGraph:
        """Return the graph for tiles of `side`; `precision` is "bf16" or "f32".

        `trim` pixels at each side are not answered, if that is a graph that can do so.
        """
        model = self._core.read_model(self._path)  # a shape once set cannot be set anew
        tiles, *others = model.inputs
        for other in others:  # a constant, so that the size of every map is known beforehand
            parameter = other.get_node()
            constant = self._constant(np.array(trim, np.int32))
            parameter.output(0).replace(constant.output(0))
            model.remove_parameter(parameter)
        channels = tiles.partial_shape[3].get_length()
        model.reshape([1, side, side, channels])
        return CompiledGraph(self._core.compile_model(model, CPU, _settings(precision)))

    def restored(self, content: bytes, precision: str) -> CompiledGraph | None:
        """Return what `CompiledGraph.exported` gave on such a processor; None if it is damaged."""
        try:
            return CompiledGraph(self._core.import_model(content, CPU, _settings(precision)))
        except RuntimeError:
            return None


def _settings(precision: str) -> dict[str, str]:
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if (cores := usable_cores()) < (os.cpu_count() or 1):
        settings["INFERENCE_NUM_THREADS"] = str(cores)
        # OpenVINO would bind its threads to the first cores of the machine, and so would each other
        # process that may use some of them: all would share these, and the others stand idle.
        settings["ENABLE_CPU_PINNING"] = "NO"
    return settings


class CompiledGraph:
    """A graph for tiles of one size."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401  it has no types
        self._model = model
        self._names = [next(iter(output.names)) for output in model.outputs]

    def exported(self) -> bytes:
        """Return it as bytes, for processors of this kind and this version of OpenVINO."""
        stream = BytesIO()
        self._model.export_model(stream)
        return stream.getvalue()

    def __call__(self, tiles: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The maps of uint8 tiles (n, side, side, channels)."""
        # One by one: on a CPU a batch gains nothing and takes memory.
        answers = [self._model(tiles[i : i + 1]) for i in range(len(tiles))]
        return {
            name: np.concatenate([answer[place] for answer in answers])
            for place, name in enumerate(self._names)
        }
