"""What computes: TensorFlow, or on a CPU OpenVINO where its answers agree."""

from __future__ import annotations

import logging
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeplab.bundles.card import Card
from deeplab.config.requests import Runtime
from deeplab.cores import usable_cores
from deeplab.errors import DeviceError
from deeplab.inference.agreement import COMPARISONS
from deeplab.inference.conversions import (
    GRAPH,
    converted,
    is_kept,
    keep_compiled,
    keep_verdict,
    read_answers,
    read_compiled,
    read_verdict,
)
from deeplab.inference.decode import Decode, tile_decoder
from deeplab.inference.memory import Memory
from deeplab.inference.openvino_runtime import OpenVino
from deeplab.inference.predictor import GraphSpec, Predictor
from deeplab.inference.stream import Predict
from deeplab.models.answers import AnswerKind
from deeplab.models.readings import reading_of
from deeplab.native_log import remarks_left_out
from deeplab.report.words import counted

log = logging.getLogger(__name__)

TELLING = 0.99  # share of one label from which a trial says nothing of the others
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # of NVIDIA, under Windows, of AMD


def start_predictor(
    spec: GraphSpec,
    card: Card,
    *,
    tile: int,
    trim: int = 0,
    gpu: int,
    runtime: Runtime,
    memory: Memory | None = None,
) -> Predictor:
    """Choose the device and the fastest runtime that is allowed and agrees with TensorFlow.

    Args:
        spec: the model and what is asked of it.
        card: of that model.
        tile: side of the tiles, work pixels.
        trim: how much of each side need not be answered, see `TilePlan`.
        gpu: number of the GPU; -1 for the CPU.
        runtime: "auto" takes OpenVINO where it is installed, there is no GPU, and its answers
            agree with TensorFlow's. On how many depends on the model and the processor, so it is
            tried on the same pictures each time: whatever slide they are for, all are computed
            alike. What was found is kept, see `deeplab.inference.conversions`.
        memory: what OpenVINO may make this process hold, so that it may be started for smaller
            tiles; None: whatever it takes.

    Raises:
        BundleError, ConfigError: the model cannot be used, or not so.
        DeviceError: the GPU is not there; or OpenVINO is asked for but is not installed, or does
            not agree.
    """
    on_gpu = _choose_device(gpu)
    decode, answer = tile_decoder(card.config), reading_of(card.config).answer
    if runtime == "openvino" or (runtime == "auto" and not on_gpu):
        problem = "is not installed here; choose tensorflow, or install openvino"
        if find_spec("openvino"):
            tiles = _Tiles(tile, len(card.config.channels), trim, memory)
            found = _compile_where_it_agrees(spec, tiles, answer, decode)
            if found:
                precision, side, compiled = found
                return Predictor(f"OpenVINO {precision}", compiled, decode, answer, side=side)
            problem = "answers differ from TensorFlow's; choose tensorflow"
        if runtime == "openvino":
            raise DeviceError(f"OpenVINO {problem}")
    with remarks_left_out():
        from deeplab.inference.tensorflow_runtime import load_predict  # noqa: PLC0415

        predict = load_predict(spec, trim)
        return Predictor("TensorFlow", predict, decode, answer)


def starts_fast(spec: GraphSpec, *, gpu: int, runtime: Runtime) -> bool:
    """Return whether `start_predictor` need not load TensorFlow: what it takes is all kept."""
    is_for_openvino = runtime != "tensorflow" and _is_surely_cpu(gpu)
    return is_for_openvino and find_spec("openvino") is not None and is_kept(spec)


def prepare_runtime(spec: GraphSpec, card: Card) -> str:
    """Return what will compute a graph on a CPU; its conversion and this verdict are kept.

    Raises:
        BundleError, ConfigError: the model cannot be used, or not so.
        DeviceError: OpenVINO is not installed, or the process that converts was ended.
        OutputError: there is no room for temporary files.
    """
    if not find_spec("openvino"):
        raise DeviceError("OpenVINO is not installed here, so there is nothing to convert for")
    with converted(spec) as folder:
        decode, answer = tile_decoder(card.config), reading_of(card.config).answer
        precision = _agreed_precision(OpenVino(folder / GRAPH), folder, answer, decode)
    return f"OpenVINO {precision}" if precision else "TensorFlow"


def _choose_device(gpu: int) -> bool:
    """Choose the GPU or the CPU, say which, and return whether it is a GPU.

    TensorFlow, which takes seconds to load, is asked only where it can have a GPU.
    """
    if _is_surely_cpu(gpu):
        log.info("computing on CPU, %s", counted(usable_cores(), "core"))
        return False
    with remarks_left_out():
        from deeplab.device import choose_devices  # noqa: PLC0415

        return choose_devices(gpu, 1)[0].startswith("GPU")


def _is_surely_cpu(gpu: int) -> bool:
    return "tensorflow" not in sys.modules and (gpu < 0 or not _has_gpu_driver())


def _has_gpu_driver() -> bool:
    return sys.platform != "linux" or any(Path(device).exists() for device in GPU_DRIVERS)


class _Tiles(NamedTuple):
    """What tiles a graph is to answer, and within which limit."""

    side: int
    channels: int
    trim: int
    memory: Memory | None


def _compile_where_it_agrees(
    spec: GraphSpec, tiles: _Tiles, answer: AnswerKind, decode: Decode
) -> tuple[str, int, Predict] | None:
    """Return the first precision in which OpenVINO agrees, a side, and what computes; or None."""
    with converted(spec) as folder:
        graph = OpenVino(folder / GRAPH)
        precision = _agreed_precision(graph, folder, answer, decode)
        if not precision:
            return None

        side = tiles.side
        if tiles.memory:
            whole = partial(_compiled, graph, folder, trim=0, precision=precision)
            side = tiles.memory.largest_side(whole, side, tiles.channels)
        return precision, side, _compiled(graph, folder, side, tiles.trim, precision)


def _compiled(graph: OpenVino, folder: Path, side: int, trim: int, precision: str) -> Predict:
    """Return a graph compiled for tiles of a side: as a run before has left it, or anew."""
    kind = f"{precision} {side} {trim}"
    content = read_compiled(folder, kind)
    found = graph.restored(content, precision) if content else None
    if found is None:
        found = graph.compiled(side, precision, trim)
        keep_compiled(folder, kind, found.exported())
    return found


def _agreed_precision(graph: OpenVino, folder: Path, answer: AnswerKind, decode: Decode) -> str:
    """Return what was found before, or find it now; see `_find_precision`."""
    precision = read_verdict(folder)
    if precision is None:
        precision = _find_precision(graph, folder, answer, decode)
        keep_verdict(folder, precision)
    return precision


def _find_precision(graph: OpenVino, folder: Path, answer: AnswerKind, decode: Decode) -> str:
    """Return the first precision in which OpenVINO's answers agree with TensorFlow's, or ""."""
    compare = COMPARISONS[answer]
    tiles, wanted = read_answers(folder)
    answers = compare.answers(wanted, decode)
    for precision in _precisions(compare.labels(answers)):
        found = graph.compiled(tiles.shape[1], precision)(tiles)
        agreements = compare.agreements(answers, compare.answers(found, decode))
        for share, _, of in agreements:
            log.info("OpenVINO %s: %.4f of %s as TensorFlow's", precision, share, of)
        if all(share >= least for share, least, _ in agreements):
            return precision
    return ""


def _precisions(labels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Return what to try, the faster first; `labels` are those of the trial.

    Where a network finds next to nothing in the trial's pictures they say nothing of how well a
    coarser precision does on what it does find.
    """
    if np.bincount(labels.ravel()).max() >= TELLING * labels.size:
        log.info("one label on nearly all of the trial, so bfloat16 is not tried")
        return ("f32",)
    return ("bf16", "f32")  # a CPU may have no bfloat16
