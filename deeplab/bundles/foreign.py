"""Files that are taken for models and are something else: what they are, and what to do."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from deeplab.bundles.archive import archive_kind, damage_said
from deeplab.bundles.card import CARD_NAME
from deeplab.bundles.checkpoint_files import SAVED_MODEL_NAME, is_checkpoint
from deeplab.errors import BundleError

TAKEN = (
    "a model is the .zip that a training or import-checkpoint wrote, or a TensorFlow 1 checkpoint "
    "(the prefix of its .index and .data-... files, a folder, .zip or .tar.gz of them)"
)
HDF5 = b"\x89HDF\r\n\x1a\n"
KERAS_MEMBER = "model.weights.h5"  # of a `.keras` file, which is a zip
TABLE_END = bytes.fromhex("57fb808b247547db")  # of the one file of a checkpoint before 2016
KERAS_ONLY = (
    "is a weights file of Keras, which can only start a training (--initial-model); of its "
    "DeepLabV3+ a model is made: deeplab import-checkpoint"
)
OF_TENSORS = (
    "is a file of tensors, as PyTorch and NumPy write; make a model of it: "
    "deeplab import-checkpoint"
)
ONE_FILE = (
    "is a checkpoint in the form of one file, as TensorFlow wrote before 2016; restore it in "
    "TensorFlow 1 and save it again with tf.train.Saver"
)
PICKLE, PROTOCOLS = b"\x80", range(2, 6)  # first byte, and the second; older ones are plain text
PICKLED = "a pickle, which is never opened"
EXPORTED_CARD = "assets/deeplab_card.json"
OTHERS: Mapping[str, str] = MappingProxyType(
    {
        ".onnx": "an ONNX graph",
        ".tflite": "a graph of TensorFlow Lite",
        ".pbtxt": "a description of a graph, without weights",
        ".pt": "a file of PyTorch",
        ".pth": "a file of PyTorch",
        ".safetensors": "a file of weights without their network",
        ".pkl": PICKLED,
        ".npz": "a file of arrays without their network",
    }
)


def is_hdf5(path: Path) -> bool:
    """Return whether a path is a file of HDF5."""
    if not path.is_file():
        return False
    with damage_said(path), path.open("rb") as file:
        return file.read(len(HDF5)) == HDF5


def refuse_foreign(path: Path) -> None:
    """Raise unless a path may be a model: a zip of this program, or a checkpoint in any form.

    Raises:
        BundleError: it does not exist, or is something else, which the sentence names.
    """
    if path.is_dir():
        problem = _folder_problem(path)
    elif is_checkpoint(path):
        problem = ""
    else:
        with damage_said(path):
            problem = _file_problem(path)
    if problem:
        raise BundleError(path, problem)


def _folder_problem(path: Path) -> str:
    if (path / CARD_NAME).is_file():
        return "is a model that was unpacked; zip its card.json and its folder weights again"
    if (path / SAVED_MODEL_NAME).is_file() and (path / EXPORTED_CARD).is_file():
        return "is a SavedModel that was exported; give the model (.zip) it was exported from"
    return ""


def _file_problem(path: Path) -> str:
    kind, suffix = archive_kind(path), path.suffix.lower()
    if kind == "zip" and _holds(path, CARD_NAME):
        return ""
    # It needs NumPy, which reading the card of a model does not.
    from deeplab.bundles.importers.tensor_files import is_tensor_file  # noqa: PLC0415

    if path.name == SAVED_MODEL_NAME:
        return _folder_problem(path.parent)
    problems = {
        "is empty; upload it again": path.stat().st_size == 0,
        "is a frozen graph; make a model of it: deeplab import-checkpoint": suffix == ".pb",
        OF_TENSORS: is_tensor_file(path),
        KERAS_ONLY: is_hdf5(path) or (kind == "zip" and _holds(path, KERAS_MEMBER)),
        "is packed by gzip, but holds no tar; unpack it and give what is in it": kind == "gzip",
        f"is {PICKLED}; {TAKEN}": not kind and _begins_as_pickle(path),
        f"is {OTHERS.get(suffix)}; {TAKEN}": suffix in OTHERS,
        ONE_FILE: not kind and _ends_as_table(path),
        f"is none; {TAKEN}": not kind,
    }
    return next((problem for problem, is_so in problems.items() if is_so), "")


def _holds(path: Path, name: str) -> bool:
    with zipfile.ZipFile(path) as archive:
        return name in archive.namelist()


def _begins_as_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(2)
    return head[:1] == PICKLE and head[-1] in PROTOCOLS


def _ends_as_table(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(len(TABLE_END), path.stat().st_size), 2)
        return file.read() == TABLE_END
