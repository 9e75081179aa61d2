"""Tell files of tensors by their content, whatever their names end in, and open them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deeplab.bundles.archive import archive_kind, damage_said, open_archive
from deeplab.bundles.importers.mxnet_file import is_mxnet, open_mxnet
from deeplab.bundles.importers.resnet38 import with_pytorch_names
from deeplab.bundles.importers.stored_tensors import (
    NPY,
    StoredTensors,
    is_safetensors,
    open_npz,
    open_safetensors,
)
from deeplab.bundles.importers.torch_file import is_legacy, open_torch, pickle_in
from deeplab.errors import CheckpointError


def is_tensor_file(path: Path) -> bool:
    """Tell whether a path is a file of PyTorch's, of safetensors, of MXNet's or NumPy's arrays.

    Raises:
        BundleError: it is a zip that is damaged or not safe to read.
    """
    if not path.is_file():
        return False
    if is_legacy(path) or is_safetensors(path) or is_mxnet(path):
        return True
    return _zip_kind(path) != ""


@contextmanager
def open_tensor_file(path: Path) -> Iterator[StoredTensors]:
    """Open the tensors in a file for which `is_tensor_file` holds.

    Raises:
        CheckpointError: it is damaged, holds no tensors, or would run something.
        BundleError: it is a zip that is damaged or not safe to read.
    """
    if is_legacy(path):
        opened = open_torch(path)
    elif is_safetensors(path):
        opened = open_safetensors(path)
    elif is_mxnet(path):
        opened = open_mxnet(path)
    else:
        kind = _zip_kind(path)
        if not kind:
            raise CheckpointError(path, "is no file of PyTorch's, of safetensors or of arrays")
        opened = open_torch(path) if kind == "torch" else open_npz(path)
    with opened as tensors:
        yield with_pytorch_names(tensors)


def _zip_kind(path: Path) -> str:
    """Return "torch", "npz" or, for anything else, ""."""
    with damage_said(path):
        if archive_kind(path) != "zip":
            return ""
    with open_archive(path) as archive:
        if pickle_in(archive):
            return "torch"
        return "npz" if archive.sizes and all(n.endswith(NPY) for n in archive.sizes) else ""
