"""Write tensors by name as `torch.save` does, without PyTorch: a zip of a pickle and of storages.

`torch.load` reads it with `weights_only=True`: the pickle asks for nothing but a table and tensors.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

# PyTorch's storages, by NumPy's name of their type.
STORAGES: Mapping[str, str] = MappingProxyType({"float32": "FloatStorage", "int64": "LongStorage"})
FOLDER = "archive"  # every member of the zip lies in it


def write_torch_tensors(
    path: Path, tensors: Iterable[tuple[str, NDArray[np.float32 | np.int64]]]
) -> None:
    """Write tensors, in their order, as an ordered table of them.

    Raises:
        OSError: the file cannot be written.
    """
    entries = io.BytesIO()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, (name, value) in enumerate(tensors):
            archive.writestr(
                f"{FOLDER}/data/{key}", value.astype(value.dtype.newbyteorder("<")).tobytes()
            )
            entries.write(_text(name) + _tensor(str(key), value))
        table = _name("collections", "OrderedDict") + b")R"
        saved = pickle.PROTO + b"\x02" + table + b"(" + entries.getvalue() + b"u."
        archive.writestr(f"{FOLDER}/data.pkl", saved)
        archive.writestr(f"{FOLDER}/byteorder", "little")
        archive.writestr(f"{FOLDER}/version", "3\n")


def _tensor(key: str, value: NDArray[np.float32 | np.int64]) -> bytes:
    """Return the opcodes of a tensor that fills a storage of its own."""
    steps = [math.prod(value.shape[axis + 1 :]) for axis in range(value.ndim)]
    kind = _name("torch", STORAGES[value.dtype.name])
    storage = _text("storage") + kind + _text(key) + _text("cpu") + _number(value.size)
    stored = b"(" + storage + b"t" + pickle.BINPERSID
    view = stored + _number(0) + _numbers(value.shape) + _numbers(steps)
    hooks = _name("collections", "OrderedDict") + b")R"
    rebuilt = _name("torch._utils", "_rebuild_tensor_v2")
    return rebuilt + b"(" + view + pickle.NEWFALSE + hooks + b"tR"


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    content = text.encode()
    return pickle.BINUNICODE + len(content).to_bytes(4, "little") + content


def _number(number: int) -> bytes:
    return pickle.LONG1 + b"\x08" + number.to_bytes(8, "little", signed=True)


def _numbers(numbers: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_number, numbers)) + b"t"
