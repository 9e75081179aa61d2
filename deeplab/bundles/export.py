"""Write a model's network for other programs: a SavedModel, ONNX, a state dict, a checkpoint."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import keras
import tensorflow as tf

from deeplab.bundles.card import card_to_json
from deeplab.bundles.importers.state_dicts import (
    object_checkpoint_problem,
    object_values_of,
    state_dict_of,
    state_dict_problem,
)
from deeplab.bundles.load import Bundle, load_bundle
from deeplab.bundles.object_checkpoint import write_object_checkpoint
from deeplab.bundles.read import read_card
from deeplab.bundles.torch_writer import write_torch_tensors
from deeplab.config.channels import Channels
from deeplab.config.export_request import ExportFormat, ExportRequest
from deeplab.config.network import NetworkConfig
from deeplab.errors import BundleError, DeviceError, OutputError
from deeplab.files import check_spared, check_writable, scratch_folder, whole_file
from deeplab.models.outputs import LABELS, LOGITS

CARD = (
    "deeplab_card"  # where the card is kept: an ONNX property, a file among a SavedModel's assets
)
CONVERTERS = ("onnx", "tf2onnx")
CHECKPOINT = "model_ckpt"  # the prefix of its files, in the folder that is written


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was exported, its channels and the sides that its tiles should have."""

    request: ExportRequest
    channels: Channels
    sides: str

    def summary(self) -> str:
        """Return the result in lines for people."""
        if self.request.format == "torch":
            return (
                f"written to {self.request.output}: a state dict of segmentation_models_pytorch; "
                "what the network does to pixels first it does not hold, see the card"
            )
        if self.request.format == "checkpoint":
            return (
                f"written to {self.request.output / CHECKPOINT}: variables of SURF-segmentation's "
                "EfficientDetNet, for its load_weights; what the network does to pixels first they "
                "do not hold, see the card"
            )
        return (
            f"written to {self.request.output}: takes rgb uint8 (n, h, w, {len(self.channels)}), "
            f"sides {self.sides}; gives labels uint8 (n, h, w) and logits float32"
        )


def export_model(request: ExportRequest) -> ExportResult:
    """Write what `request` asks for, whole or not at all.

    Raises:
        BundleError: the model cannot be used.
        DeviceError: a package that the format needs is not installed.
        OutputError: the result cannot be written.
    """
    if request.format == "onnx":
        missing = [name for name in CONVERTERS if find_spec(name) is None]
        if missing:
            raise DeviceError(f"ONNX needs {' and '.join(missing)}: pip install onnx tf2onnx")
    if request.format in FOLDERS:
        if request.output.exists():
            raise OutputError(
                request.output, f"it exists; {FOLDERS[request.format]} is a new folder"
            )
    else:
        check_writable(request.output)
        check_spared([request.output], [request.model])
    if request.format in PROBLEMS and (
        problem := PROBLEMS[request.format](read_card(request.model).config)
    ):
        raise BundleError(request.model, problem)
    bundle = load_bundle(request.model)
    WRITERS[request.format](bundle, request.output)
    config = bundle.card.config
    return ExportResult(request=request, channels=config.channels, sides=config.tiling.rule)


def _graph(bundle: Bundle) -> keras.Model:
    return bundle.family.predictor(bundle.network, maps=(LABELS, LOGITS))


def _write_saved_model(bundle: Bundle, path: Path) -> None:
    graph = _graph(bundle)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path.parent) as folder:
            graph.export(folder / "model", format="tf_saved_model", verbose=False)
            card = folder / "model/assets" / f"{CARD}.json"
            card.parent.mkdir(exist_ok=True)
            card.write_text(card_to_json(bundle.card), encoding="utf-8")
            (folder / "model").rename(path)
    except (OSError, tf.errors.OpError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(path, str(error)) from error


def _write_onnx(bundle: Bundle, path: Path) -> None:
    import onnx  # noqa: PLC0415  an optional package

    graph = _graph(bundle)
    with whole_file(path) as temporary, warnings.catch_warnings():
        # tf2onnx was written for an older NumPy, which Keras mends and NumPy remarks on.
        warnings.simplefilter("ignore")
        shape = (None, None, None, len(bundle.card.config.channels))
        tiles = keras.InputSpec(shape=shape, dtype="uint8", name="rgb")
        graph.export(temporary, format="onnx", verbose=False, input_signature=[tiles])
        model = onnx.load(temporary)
        card = json.dumps(json.loads(card_to_json(bundle.card)))
        onnx.helper.set_model_props(model, {CARD: card})
        onnx.save(model, temporary)


def _write_state_dict(bundle: Bundle, path: Path) -> None:
    with whole_file(path) as temporary:
        write_torch_tensors(temporary, state_dict_of(bundle.card.config, bundle.network))


def _write_checkpoint(bundle: Bundle, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path.parent) as folder:
            values = object_values_of(bundle.card.config, bundle.network)
            write_object_checkpoint(folder / "model" / CHECKPOINT, values)
            (folder / "model").rename(path)
    except (OSError, tf.errors.OpError) as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(path, str(error)) from error


WRITERS: Mapping[ExportFormat, Callable[[Bundle, Path], None]] = MappingProxyType(
    {
        "savedmodel": _write_saved_model,
        "onnx": _write_onnx,
        "torch": _write_state_dict,
        "checkpoint": _write_checkpoint,
    }
)
FOLDERS: Mapping[ExportFormat, str] = MappingProxyType(
    {"savedmodel": "a SavedModel", "checkpoint": "a checkpoint"}
)
# Of formats that not every network has: why one has it not, "" where it has.
PROBLEMS: Mapping[ExportFormat, Callable[[NetworkConfig], str]] = MappingProxyType(
    {"torch": state_dict_problem, "checkpoint": object_checkpoint_problem}
)
